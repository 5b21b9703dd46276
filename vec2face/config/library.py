"""The library of shipped recipes: YAML files by kind, found in a wheel and in an editable install alike.

A recipe's kind is the top folder it stands in (`generate/demo.yaml` is of kind "generate"); each kind has one schema.
A recipe may begin where another of its kind ends: `extends: NAME` takes the keys of a shipped recipe, or of a file
beside it, and lays its own over them; null takes a key out.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from vec2face.config.base import Schema, SchemaT, merged, parse, read_yaml
from vec2face.errors import ConfigError
from vec2face.fileio.atomic import write_text

# kind -> schema, as "module:attribute" so that listing recipes imports no schema.
KINDS: Mapping[str, str] = {
    "generate": "vec2face.config.generation:GenerateRecipe",
    "pack": "vec2face.config.training:PackRecipe",
    "train_embedder": "vec2face.config.training:EmbedderRecipe",
    "train_generator": "vec2face.config.training:GeneratorRecipe",
    "train_recognizer": "vec2face.config.recognition:RecognizerRecipe",
    "train_estimator": "vec2face.config.estimators:EstimatorRecipe",
    "fit_groups": "vec2face.config.groups:GroupsRecipe",
    "distill_generator": "vec2face.config.distillation:DistillRecipe",
    "ablation": "vec2face.config.ablation:AblationRecipe",
    "study": "vec2face.config.study:StudyRecipe",
}

_PACKAGE = "vec2face_recipes"
_SUFFIX = ".yaml"
_SUFFIXES = (".yaml", ".yml")
EXTENDS = "extends"


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe in the wheel.

    Attributes:
        kind: one of `KINDS`.
        stem: file name without its suffix.
        text: the whole file, header included.
    """

    kind: str
    stem: str
    text: str

    @property
    def name(self) -> str:
        """The unambiguous name, "kind/stem"."""
        return f"{self.kind}/{self.stem}"

    @property
    def purpose(self) -> str:
        """The first sentence of the header."""
        return _header(self.text).split("\n", 1)[0].strip()

    def values(self) -> dict[str, Any]:
        """The recipe's keys and values, with those it extends, unchecked. Raises `ConfigError` if that is not there."""
        return _extended(yaml.safe_load(self.text), kind=self.kind, where=self.name, folder=None)

    def parse(self) -> Schema:
        """Validate the recipe. Raises `ConfigError`, naming every problem."""
        return parse(schema_for(self.kind), self.values(), where=self.name)


def schema_for(kind: str) -> type[Schema]:
    """Return the schema of a kind. Raises `ConfigError` for a kind that is not in `KINDS`."""
    if kind not in KINDS:
        raise ConfigError(f"no kind of recipe is called {kind!r}; the kinds are {', '.join(KINDS)}.")
    module, attribute = KINDS[kind].split(":")
    schema: type[Schema] = getattr(importlib.import_module(module), attribute)
    return schema


def shipped_recipes() -> list[ShippedRecipe]:
    """Return every shipped recipe, sorted by kind and name."""
    root = resources.files(_PACKAGE)
    found = []
    for kind in KINDS:
        folder = root / kind
        entries: list[Traversable] = list(folder.iterdir()) if folder.is_dir() else []
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                found.append(ShippedRecipe(kind, entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda recipe: (recipe.kind, recipe.stem))


def find_recipe(name: str, *, kind: str | None = None) -> ShippedRecipe:
    """Return the shipped recipe called `name`: "kind/stem", or "stem" alone where that is unambiguous.

    Args:
        name: what the user typed.
        kind: look among the recipes of this kind only.

    Raises:
        ConfigError: no such recipe (the message lists those there are), or several kinds have one of that name.
    """
    candidates = [recipe for recipe in shipped_recipes() if kind in (None, recipe.kind)]
    matches = [recipe for recipe in candidates if name in (recipe.name, recipe.stem)]
    if not matches:
        known = ", ".join(recipe.stem if kind else recipe.name for recipe in candidates)
        raise ConfigError(f"no shipped recipe is called {name!r}; shipped: {known}.")
    if len(matches) > 1:
        raise ConfigError(f"several recipes are called {name!r}; say {' or '.join(match.name for match in matches)}.")
    return matches[0]


def recipe_values(reference: str, *, kind: str) -> tuple[dict[str, Any], str]:
    """Read a recipe's keys and values, unchecked, from a YAML file or by the name of a shipped recipe, as extended.

    A reference that ends in .yaml or .yml, or names an existing file, is a file; anything else is a shipped name.

    Returns:
        The values, and the recipe's name for messages (`where` of `vec2face.config.base.parse`).

    Raises:
        ConfigError: there is no such recipe, or it is no YAML mapping.
    """
    path = Path(reference)
    if path.suffix in _SUFFIXES or path.is_file():
        return _extended(read_yaml(path), kind=kind, where=str(path), folder=path.parent), str(path)
    recipe = find_recipe(reference, kind=kind)
    return recipe.values(), recipe.name


def load_recipe(reference: str, schema: type[SchemaT]) -> SchemaT:
    """Read and validate a recipe of the kind that `schema` stands for; `reference` as in `recipe_values`.

    Raises:
        ConfigError: there is no such recipe, or it does not fit its schema; every problem is named.
    """
    values, where = recipe_values(reference, kind=_kind_of(schema))
    return parse(schema, values, where=where)


def copy_recipe(name: str, destination: Path) -> Path:
    """Copy a shipped recipe, header included, to a file or into a folder, and return the file's path.

    Raises:
        ConfigError: there is no such recipe, or the file exists already (nothing is overwritten).
        StorageError: the destination cannot be written.
    """
    recipe = find_recipe(name)
    path = destination / f"{recipe.stem}{_SUFFIX}" if destination.is_dir() else destination
    if path.exists():
        raise ConfigError(f"{path} exists already; choose another name, or remove it first.")
    write_text(path, recipe.text)
    return path


def validate_file(path: Path, *, kind: str | None = None) -> str:
    """Check a recipe file against its schema and return its kind.

    Args:
        path: a YAML file.
        kind: its kind; if not given, the one whose top-level keys it shares most of.

    Raises:
        ConfigError: the file cannot be read, is of no recognisable kind, or breaks its schema; every problem is named.
    """
    values = read_yaml(path)
    kind = kind or _guess_kind(values, path)
    schema = schema_for(kind)
    parse(schema, _extended(values, kind=kind, where=str(path), folder=path.parent), where=str(path))
    return kind


def _extended(
    values: Mapping[str, Any], *, kind: str, where: str, folder: Path | None, seen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Lay values over those of the recipe they extend, if any.

    Args:
        values: of one recipe.
        kind: its kind, and that of what it extends.
        where: the recipe's name, for messages.
        folder: where a file name among them starts; None for a shipped recipe, which extends shipped ones alone.
        seen: what was extended on the way here.
    """
    own = {key: value for key, value in values.items() if key != EXTENDS}
    if EXTENDS not in values:
        return own
    reference = values[EXTENDS]
    if not isinstance(reference, str) or not reference:
        raise ConfigError(f"{where}: {EXTENDS}: must be the name of a recipe or a file, not {reference!r}")
    is_file = folder is not None and Path(reference).suffix in _SUFFIXES
    path = folder / reference if folder is not None else Path(reference)
    name = str(path.resolve()) if is_file else find_recipe(reference, kind=kind).name
    if name in seen:
        raise ConfigError(f"{where}: {EXTENDS}: {reference!r} extends this recipe in turn; let one of them stand alone")
    below = read_yaml(path) if is_file else yaml.safe_load(find_recipe(reference, kind=kind).text)
    base = _extended(below, kind=kind, where=name, folder=path.parent if is_file else None, seen=(*seen, name))
    return merged(base, own)


def _kind_of(schema: type[Schema]) -> str:
    return next(kind for kind, name in KINDS.items() if name == f"{schema.__module__}:{schema.__qualname__}")


def _guess_kind(values: Mapping[str, Any], path: Path) -> str:
    shared = {kind: len(set(values) & set(schema_for(kind).model_fields)) for kind in KINDS}
    best = max(shared.values())
    kinds = [kind for kind, count in shared.items() if count == best]
    if best == 0 or len(kinds) > 1:
        raise ConfigError(f"cannot tell what kind of recipe {path} is; say --kind {'|'.join(KINDS)}.")
    return kinds[0]


def _header(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)
