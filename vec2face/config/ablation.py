"""Schema of an ablation: one base recipe, and variants of it that differ by one ingredient each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from vec2face.config.base import Schema, merged, parse
from vec2face.config.library import recipe_values
from vec2face.config.training import GeneratorRecipe
from vec2face.errors import ConfigError

FULL = "full"  # names the base itself
BASE_KIND = "train_generator"


class Variant(Schema):
    """What one variant changes."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="lower-case letters, digits and hyphens; a folder")
    purpose: str = Field(min_length=1, description="what the variant shows, in a sentence")
    changes: dict[str, Any] = Field(
        min_length=1, description="keys laid over the base, as it nests them; null takes a key out, for its default"
    )

    @model_validator(mode="after")
    def _comparable(self) -> "Variant":
        problems = []
        if self.name == FULL:
            problems.append(f"the name {FULL!r} is that of the base")
        # Equal images and equal bookkeeping, or the variants could not be compared.
        if "schedule" in self.changes:
            problems.append("a variant cannot change the schedule; all see the same images")
        run = self.changes.get("run", {})
        if not isinstance(run, Mapping) or set(run) - {"seed"}:
            problems.append("of run, a variant may change the seed alone")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class AblationRecipe(Schema):
    """Train a generator several times, each time without or with another ingredient, and compare."""

    base: str = Field(min_length=1, description="generator recipe: a file, or the name of a shipped one")
    changes: dict[str, Any] = Field({}, description="keys laid over the base for every variant, such as a shorter run")
    variants: tuple[Variant, ...] = Field(min_length=1, description="trained in this order, after the base")
    sheet_faces: int = Field(10, ge=1, le=40, description="held-out faces in a row of the contact sheet")

    @model_validator(mode="after")
    def _names_differ(self) -> "AblationRecipe":
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("two variants have the same name")
        return self


@dataclass(frozen=True)
class Trial:
    """One training of an ablation: its name, what it shows, and its whole recipe."""

    name: str
    purpose: str
    recipe: GeneratorRecipe


def trials(ablation: AblationRecipe) -> tuple[Trial, ...]:
    """Return the base and every variant as whole recipes.

    Raises:
        ConfigError: the base does not exist, a variant is no valid recipe, or one does not differ from the base; every
            problem of every variant is named.
    """
    values, where = recipe_values(ablation.base, kind=BASE_KIND)
    base = merged(values, ablation.changes)
    found = [Trial(FULL, f"the base: {where}", parse(GeneratorRecipe, base, where=f"{where} with the changes"))]
    problems = []
    for variant in ablation.variants:
        try:
            recipe = parse(GeneratorRecipe, merged(base, variant.changes), where=f"variant {variant.name}")
        except ConfigError as error:
            problems.append(str(error))
            continue
        if recipe == found[0].recipe:
            problems.append(f"variant {variant.name}: it does not differ from the base.")
        found.append(Trial(variant.name, variant.purpose, recipe))
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(found)
