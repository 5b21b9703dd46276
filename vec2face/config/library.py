"""The library of shipped recipes: YAML files by kind, found in a wheel and in an editable install alike.

A recipe's kind is the top folder it stands in (`generate/demo.yaml` is of kind "generate"); each kind has one schema.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from vec2face.config.base import Schema, SchemaT, parse, read_yaml
from vec2face.errors import ConfigError
from vec2face.fileio.atomic import write_text

# kind -> schema, as "module:attribute" so that listing recipes imports no schema.
KINDS: Mapping[str, str] = {
    "generate": "vec2face.config.generation:GenerateRecipe",
    "pack": "vec2face.config.training:PackRecipe",
    "train_embedder": "vec2face.config.training:EmbedderRecipe",
    "train_generator": "vec2face.config.training:GeneratorRecipe",
    "train_recognizer": "vec2face.config.recognition:RecognizerRecipe",
    "distill_generator": "vec2face.config.distillation:DistillRecipe",
    "ablation": "vec2face.config.ablation:AblationRecipe",
    "study": "vec2face.config.study:StudyRecipe",
}

_PACKAGE = "vec2face_recipes"
_SUFFIX = ".yaml"


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
        """The recipe's keys and values, unchecked."""
        values: dict[str, Any] = yaml.safe_load(self.text)
        return values

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
    """Read a recipe's keys and values, unchecked, from a YAML file or by the name of a shipped recipe.

    A reference that ends in .yaml or .yml, or names an existing file, is a file; anything else is a shipped name.

    Returns:
        The values, and the recipe's name for messages (`where` of `vec2face.config.base.parse`).

    Raises:
        ConfigError: there is no such recipe, or it is no YAML mapping.
    """
    path = Path(reference)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_yaml(path), str(path)
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
    parse(schema_for(kind), values, where=str(path))
    return kind


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
