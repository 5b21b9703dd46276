"""A repair changes the shards of what it replaces, and nothing else; a stopped one ends with the same bytes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vec2face.errors import InputError
from vec2face.fileio.tar import read_tar
from vec2face.generation.inputs import candidate_source, generator_facts, prepare
from vec2face.generation.redraw import replace_identities
from vec2face.generation.run import generate
from vec2face.generation.verify import verify
from vec2face.identities.cosine import exact_cosine

from .conftest import MakeRecipe, contents

JUDGES = ({"name": "judge", "sha256": "0" * 64, "threshold": 0.4},)


class Killed(Exception):
    pass


def repaired(recipe, out: Path, failed: dict[int, list[str]]) -> None:
    """One round, then what it left to render."""
    plan, bank = prepare(recipe, out)
    source = candidate_source(recipe, plan.generator)
    replace_identities(plan, out, bank=bank, source=source, failed=failed, judges=JUDGES)
    finished(recipe, out)


def finished(recipe, out: Path) -> None:
    plan, bank = prepare(recipe, out)
    generate(plan, out, bank=bank, workers=1)


@pytest.fixture
def recipe(make_recipe: MakeRecipe):
    return make_recipe()


@pytest.fixture
def made(recipe, tmp_path: Path) -> Path:
    finished(recipe, tmp_path / "faces")
    return tmp_path / "faces"


def test_only_what_was_replaced_changes(recipe, made: Path) -> None:
    before, was = contents(made), dict(read_tar(made / "shards" / "000001.tar"))
    bank = prepare(recipe, made)[1]
    repaired(recipe, made, {3: ["not unique"]})

    after = contents(made)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        "dataset.json",
        "identities.safetensors",
        "metadata.parquet",
        "shards/000001.tar",
        "shards/000001.json",
    }
    now = dict(read_tar(made / "shards" / "000001.tar"))
    assert {name for name in now if now[name] != was[name] and name.endswith(".jpg")} == {
        f"0000003_{image:04d}.jpg" for image in range(4)
    }
    new_bank = prepare(recipe, made)[1]
    assert [row for row in range(5) if (bank.vectors[row] != new_bank.vectors[row]).any()] == [3]
    assert new_bank.ids == ("0000000", "0000001", "0000002", "0000003-1", "0000004")
    assert all(exact_cosine(new_bank.vectors[3], new_bank.vectors[row]) < 0.5 for row in (0, 1, 2, 4))
    assert verify(made).whole
    (round_,) = json.loads((made / "dataset.json").read_text())["repairs"]
    assert round_["judges"] == list(JUDGES)
    assert round_["replaced"] == [{"identity": 3, "candidate": 0, "reasons": ["not unique"]}]
    # Nothing is left to do, with the recipe or without.
    finished(recipe, made)
    assert contents(made) == after


def test_rounds_follow_each_other(recipe, made: Path) -> None:
    first = contents(made)
    repaired(recipe, made, {0: ["inconsistent"], 3: ["not unique"]})
    second = contents(made)
    repaired(recipe, made, {3: ["not unique", "inconsistent"]})
    third = contents(made)
    for shard, versions in {"000000": 2, "000001": 3, "000002": 1}.items():
        assert len({state[f"shards/{shard}.tar"] for state in (first, second, third)}) == versions
    assert verify(made).whole
    assert prepare(recipe, made)[1].provenance["repaired"] == {"rounds": 2, "replaced": 3}


@pytest.mark.parametrize("step", ["unlinked", "described", "rendering"])
def test_a_stopped_repair_ends_with_the_same_bytes(recipe, made: Path, tmp_path: Path, monkeypatch, step) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(made, undisturbed)
    failed = {1: ["not unique"], 4: ["inconsistent"]}
    repaired(recipe, undisturbed, failed)

    def stop(*arguments, **options):
        raise Killed

    target = {
        "unlinked": "vec2face.generation.redraw.write_json",
        "described": "vec2face.identities.IdentityBank.save",
        "rendering": "vec2face.generation.shard.write_manifest",
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(target, stop)
        with pytest.raises(Killed):
            repaired(recipe, made, failed)
    finished(recipe, made)
    if step == "unlinked":  # the round had not begun, so the dataset is what it was
        assert verify(made).whole
        assert "repairs" not in json.loads((made / "dataset.json").read_text())
        repaired(recipe, made, failed)
    assert contents(made) == contents(undisturbed)


@pytest.mark.parametrize("kind", ["gaussian", "bank", "file"])
def test_a_lost_bank_is_made_again_with_its_repairs(make_recipe: MakeRecipe, tmp_path: Path, kind) -> None:
    vectors = np.random.default_rng(5).normal(size=(9, 128)).astype(np.float32)
    np.save(tmp_path / "spare.npy", vectors)
    recipe = make_recipe(
        identities={
            "gaussian": {"source": "gaussian", "count": 5, "ceiling": 0.5},
            "bank": {"bank": str(tmp_path / "spare.npy"), "count": 5},
            "file": {"source": "file", "candidates": str(tmp_path / "spare.npy"), "count": 5, "ceiling": 0.9},
        }[kind]
    )
    out = tmp_path / "faces"
    finished(recipe, out)
    repaired(recipe, out, {2: ["not unique"]})
    repaired(recipe, out, {2: ["not unique"], 3: ["inconsistent"]})
    whole = contents(out)
    bank = prepare(recipe, out)[1]
    if kind != "gaussian":  # rows of the file, each used once
        np.testing.assert_array_equal(bank.vectors[[2, 3]], vectors[[6, 7]])
    if kind == "bank":
        assert bank.ids[2:4] == ("0000006", "0000007")
    (out / "identities.safetensors").unlink()
    finished(recipe, out)
    assert contents(out) == whole


def test_a_packed_bank_stays_below_its_ceiling(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    identities = {"source": "gaussian", "method": "pack", "standard_deviation": 1.0, "count": 12, "ceiling": 0.05}
    recipe = make_recipe(identities=identities, images_per_identity=1, shards={"identities_per_shard": 4})
    finished(recipe, tmp_path / "faces")
    repaired(recipe, tmp_path / "faces", {5: ["not unique"], 6: ["not unique"]})
    vectors = prepare(recipe, tmp_path / "faces")[1].vectors
    pairs = [(a, b) for a in range(12) for b in range(a)]
    assert max(exact_cosine(vectors[a], vectors[b]) for a, b in pairs) < 0.05
    assert verify(tmp_path / "faces").whole


def test_photographs_and_full_banks_are_refused(make_recipe: MakeRecipe, tmp_path: Path, tiny_generator_dir) -> None:
    photographed = make_recipe(identities={"photos": {"paths": [str(tmp_path)]}})
    with pytest.raises(InputError, match="photographs cannot be drawn again"):
        candidate_source(photographed, generator_facts(str(tiny_generator_dir)))
    np.save(tmp_path / "all.npy", np.eye(128, dtype=np.float32)[:3])
    recipe = make_recipe(identities={"bank": str(tmp_path / "all.npy")})
    finished(recipe, tmp_path / "faces")
    before = contents(tmp_path / "faces")
    with pytest.raises(InputError, match="no more vectors"):
        repaired(recipe, tmp_path / "faces", {0: ["not unique"]})
    assert contents(tmp_path / "faces") == before
