"""A run's recipe: a file, a shipped one, or that of the dataset to be continued, with options laid over it."""

from collections.abc import Mapping
from typing import Any

from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe
from vec2face.config.library import recipe_values
from vec2face.errors import DatasetError
from vec2face.fileio.location import Location
from vec2face.generation.folder import DatasetFolder, read_description

_ORIGINS = ("bank", "photos", "source")


def find_recipe(reference: str | None, out: Location, *, changes: Mapping[str, Any]) -> GenerateRecipe:
    """Return the recipe to run.

    Args:
        reference: a YAML file or the name of a shipped recipe; None takes the recipe of the dataset in `out`, or the
            default values where there is none.
        out: folder of the dataset.
        changes: values that take the place of the recipe's, nested as the recipe is; None stands for no change. An
            origin of identities (bank, photos, source) replaces the recipe's whole section of identities.

    Raises:
        ConfigError: the recipe is missing, or recipe and changes together are unusable; every problem is named.
        DatasetError: the dataset in `out` has a damaged description.
    """
    folder = DatasetFolder(out)
    given = _without_none(changes)
    if reference is not None:
        values, where = recipe_values(reference, kind="generate")
    elif folder.description.exists():
        values, where = _recorded(_generated(folder)["recipe"]), str(folder.description)
    else:
        values, where = {}, "options"
    if given and where != "options":
        where = f"{where} with options"
    if any(origin in given.get("identities", {}) for origin in _ORIGINS):
        values = {**values, "identities": {}}
    if "format" in given.get("image", {}):
        # A quality in the recipe was meant for the format in the recipe.
        values = {**values, "image": {}}
    if "directions" in given.get("steering", {}) and values.get("steering"):
        # A number of pictures to estimate them from was meant for a recipe that names no file.
        values = {**values, "steering": {**values["steering"], "direction_pictures": None}}
    return parse(GenerateRecipe, _merged(values, given), where=where)


def _generated(folder: DatasetFolder) -> dict[str, Any]:
    """Return the description of a generated dataset. Raises `DatasetError` for one that was made otherwise."""
    description = read_description(folder)
    if "origin" in description:
        raise DatasetError(
            f"{folder.root} was made by 'vec2face {description['origin']['command']}', so there is nothing to generate "
            "in it; choose another --out."
        )
    return description


def _recorded(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of a dataset; one written before there was a choice of method was sampled by rejection."""
    identities = dict(recipe["identities"])
    if identities.get("source") is not None:
        identities.setdefault("method", "reject")
    return {**recipe, "identities": identities}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        inner = _without_none(value) if isinstance(value, Mapping) else value
        if inner is not None and inner != {}:
            kept[key] = inner
    return kept


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged
