"""Read how a recogniser was trained from the facts of its training, and tell in what two trainings differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARTS = (
    "backbone",
    "head",
    "loss options",
    "augmentation",
    "length",
    "images seen",
    "optimiser",
    "selection",
    "seed",
    "data",
)
"""What is stated of a training, in the order of tables."""

_SELECTION = {"best": "the checkpoint best on a validation set", "last": "the last checkpoint"}
_SHOWN = 12  # hexadecimal digits of a fingerprint


@dataclass(frozen=True)
class Training:
    """How a recogniser was trained, as far as known.

    Attributes:
        parts: part of `PARTS` -> its text; None where not stated.
        options: part -> option -> value, by which trainings are compared. An option that is not stated is absent.
        people: people x images of the data, such as "5,000 x 10"; several datasets are joined by " + ".
        images: how many images the data have, or None.
    """

    parts: dict[str, str | None]
    options: dict[str, dict[str, Any]]
    people: str | None
    images: int | None


def read_training(facts: Mapping[str, Any], *, network: str | None = None) -> Training:
    """Read the facts that `train recognizer` leaves; any of them may be missing.

    Args:
        facts: what `result.json` of a training holds, or `training` of an evaluation's.
        network: what the backbone is called where the facts do not say.
    """
    recipe = _mapping(facts, "recipe")
    # Of the run's settings only precision and average change what is learned, beside the seed.
    datasets = [entry for entry in facts.get("datasets") or () if isinstance(entry, Mapping)]
    seen, seed = facts.get("images_seen"), facts.get("seed")
    loss = {key: recipe[key] for key in ("centre_share", "prototypes") if key in recipe}
    kept = {key: recipe[key] for key in ("keep", "weights") if key in recipe}
    run = _mapping(recipe, "run")
    if kept.get("weights") == "average" and "ema_half_life_images" in run:
        kept["ema_half_life_images"] = run["ema_half_life_images"]
    precision = {"precision": run["precision"]} if "precision" in run else {}
    options: dict[str, dict[str, Any]] = {
        "backbone": dict(_mapping(recipe, "network")),
        "head": dict(_mapping(recipe, "head")),
        "loss options": dict(_flat(loss)),
        "augmentation": dict(_mapping(recipe, "augmentation")),
        "length": dict(_mapping(recipe, "schedule")),
        "images seen": {} if seen is None else {"images": seen},
        "optimiser": {**_mapping(recipe, "optimizer"), **precision},
        "selection": kept,
        "seed": {} if seed is None else {"seed": seed},
        "data": {"datasets": [_identity(entry) for entry in datasets]} if datasets else {},
    }
    sizes = [(entry["people"], entry["taken"]) for entry in datasets if entry.get("people") and "taken" in entry]
    whole = bool(sizes) and len(sizes) == len(datasets)
    people = " + ".join(f"{count:,} x {_each(taken / count)}" for count, taken in sizes) if whole else None
    prints = ", ".join(str(entry.get("fingerprint"))[:_SHOWN] for entry in datasets)
    parts = {
        "backbone": _backbone(options["backbone"]) or network,
        "head": _listed(options["head"]),
        "loss options": _loss(loss),
        "augmentation": _listed(options["augmentation"]),
        "length": _length(options["length"]),
        "images seen": None if seen is None else f"{seen:,}",
        "optimiser": _listed(options["optimiser"]),
        "selection": _SELECTION.get(str(kept.get("keep"))),
        "seed": None if seed is None else str(seed),
        "data": f"{people or 'size not stated'} ({prints})" if datasets else None,
    }
    return Training(parts, options, people, sum(taken for _, taken in sizes) if whole else None)


def differences(other: Training, first: Training) -> list[str]:
    """Say in what a training differs from the first, a text for each of `PARTS` that does: "head: margin 0.3, not 0.5".

    Options that both state are compared; where one of them states no option of a part, the part's texts are.
    """
    found = []
    for part in PARTS:
        mine, theirs = other.options[part], first.options[part]
        texts = other.parts[part], first.parts[part]
        # Another kind has other options, and other data another size: the whole of it says more than each.
        if not mine or not theirs or part == "data" or mine.get("kind") != theirs.get("kind"):
            same_options = mine == theirs if mine and theirs else True
            if None not in texts and texts[0] != texts[1]:
                found.append(f"{part}: {texts[0]}, not {texts[1]}")
            elif not same_options:
                found.append(f"{part}: other choices of the same files")
            continue
        keys = [key for key in mine if key in theirs and mine[key] != theirs[key]]
        if keys:
            changes = (f"{_named(part, key)}{_value(mine[key])}, not {_value(theirs[key])}" for key in keys)
            found.append(f"{part}: {'; '.join(changes)}")
    return found


def unstated(training: Training, first: Training) -> list[str]:
    """The parts that one of two trainings states and the other does not, so that they cannot be compared."""
    return [part for part in PARTS if (training.parts[part] is None) != (first.parts[part] is None)]


def _backbone(network: Mapping[str, Any]) -> str | None:
    kind = network.get("kind")
    if kind == "iresnet":
        gates = "" if network.get("squeeze_excitation", "none") == "none" else " with squeeze-excitation"
        return f"IResNet-{network.get('depth', '?')}{gates}"
    if kind == "mobilefacenet":
        return "MobileFaceNet"
    if kind == "compact":
        shape = ", ".join(
            f"{title} {'-'.join(map(str, network[key]))}"
            for key, title in (("widths", "widths"), ("depths", "blocks"))
            if key in network
        )
        return f"compact ({shape})" if shape else "compact"
    return None if kind is None else str(kind)


def _loss(options: Mapping[str, Any]) -> str | None:
    if not options:
        return None
    share = options.get("centre_share", 1.0)
    text = "all class centres" if share == 1 else f"{100 * share:g} % of the class centres"
    if isinstance(options.get("prototypes"), Mapping):
        text += f", and the batch's own people ({_listed(options['prototypes'])})"
    return text


def _length(schedule: Mapping[str, Any]) -> str | None:
    if "length" not in schedule:
        return None
    text = f"{_value(schedule['length'])} {schedule.get('unit', 'epochs')}"
    if "batch_size" in schedule:
        text += f", batch {schedule['batch_size']}"
    if "learning_rate" in schedule:
        text += f", rate {schedule['learning_rate']:g}"
    return text + (f", {schedule['decay']}" if "decay" in schedule else "")


def _listed(options: Mapping[str, Any]) -> str | None:
    words = [_value(value) if key == "kind" else f"{key} {_value(value)}" for key, value in options.items()]
    kind_first = sorted(zip(options, words, strict=True), key=lambda word: word[0] != "kind")
    return ", ".join(word for _, word in kind_first) or None


def _named(part: str, key: str) -> str:
    """The option's name before its value, left out where the part says it already."""
    return "" if part in ("images seen", "seed") else f"{key} "


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(_value(inner) for inner in value) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.0f}" if value == int(value) else f"{value:g}"
    return str(value)


def _each(images: float) -> str:
    return f"{images:,.0f}" if images == round(images) else f"{images:,.1f}"


def _identity(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a dataset another one; where it lies does not."""
    return {key: value for key, value in dataset.items() if key != "source"}


def _flat(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield key, "yes"
            yield from ((f"{key}.{inner}", one) for inner, one in value.items())
        else:
            yield key, value


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under a key, or an empty one: results of other programs may lack it."""
    inner = values.get(key)
    return inner if isinstance(inner, Mapping) else {}


def published_training(recipe: Mapping[str, Any]) -> Training:
    """Read a published recipe: texts by `PARTS`, and under `stated` what the recipe of a training would say."""
    stated: Mapping[str, Any] = _mapping(recipe, "stated")
    found = read_training({"recipe": stated, "seed": stated.get("seed")})
    texts: Sequence[str] = [part for part in PARTS if recipe.get(part) is not None]
    return Training({**found.parts, **{part: recipe[part] for part in texts}}, found.options, None, None)
