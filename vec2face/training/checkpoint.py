"""A run's checkpoint, and whether the run that wrote it is the one that wants to go on."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from vec2face.config.training import RunOptions, TrainingRecipe
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import atomic_write, fingerprint, write_json

CHECKPOINT = "checkpoint.pt"
IDENTITY = "run.json"


def identity_of(recipe: TrainingRecipe, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what decides a run, as JSON knows it: every value of the recipe, and the facts of the face pack."""
    identity: dict[str, Any] = json.loads(json.dumps({"recipe": recipe.model_dump(mode="json"), "pack": facts}))
    return identity


def begin_run(out: Path, identity: dict[str, Any]) -> None:
    """Write down what the run in `out` is."""
    write_json(out / IDENTITY, identity)


def write_checkpoint(out: Path, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Write `state` atomically, with the identity of the run."""
    with atomic_write(out / CHECKPOINT) as stream:
        torch.save({"fingerprint": fingerprint(identity), "identity": json.dumps(identity), **state}, stream)


def read_checkpoint(out: Path, recipe: TrainingRecipe, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Read the checkpoint in `out`, None if there is none.

    Keys of the recipe that came into being after the run began count with their default values, and what is mere
    bookkeeping (`RunOptions.BOOKKEEPING`) may change.

    Raises:
        DatasetError: it belongs to another recipe or other data; the message names the differences.
        WeightsError: it is damaged.
    """
    path = out / CHECKPOINT
    if not path.is_file():
        return None
    from vec2face.checkpoints.safe_load import safe_load

    state = safe_load(path)
    before = _identity_in(state, out)
    then, now = _comparable(before, recipe), _comparable(identity, recipe)
    differing = ", ".join(_differences(then, now))
    if differing:
        precision = then["recipe"]["run"].get("precision")
        chosen = precision != now["recipe"]["run"]["precision"]
        hint = f", with run.precision: {precision} if auto chose that" if chosen else ""
        raise DatasetError(
            f"{out} holds a run with other settings ({differing}); choose another --out or the same recipe{hint}."
        )
    return state


def _identity_in(state: dict[str, Any], out: Path) -> dict[str, Any]:
    # Checkpoints of 0.1 hold the fingerprint alone, and run.json what it stands for.
    text = state["identity"] if "identity" in state else _read_identity(out)
    identity: dict[str, Any] = json.loads(text)
    if fingerprint(identity) != state["fingerprint"]:
        raise DatasetError(f"{out / IDENTITY} was changed after the run began; choose another --out.")
    return identity


def _read_identity(out: Path) -> str:
    path = out / IDENTITY
    if not path.is_file():
        raise DatasetError(f"{path} is missing, so it is unknown what run {CHECKPOINT} is of; choose another --out.")
    return path.read_text(encoding="utf-8")


def _comparable(identity: dict[str, Any], recipe: TrainingRecipe) -> dict[str, Any]:
    values = identity["recipe"]
    # A key that is no more, or a value that is no longer allowed, shows among the differences.
    with suppress(ValidationError):
        values = type(recipe).model_validate(values).model_dump(mode="json")
    kept = {key: value for key, value in values["run"].items() if key not in RunOptions.BOOKKEEPING}
    return {**identity, "recipe": {**values, "run": kept}}


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif before != now:
        yield f"{path}: {before!r} then, {now!r} now"
