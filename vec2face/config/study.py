"""Schema of a study: datasets of one family, recognisers trained on them, and what is changed from one to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from vec2face.config.base import Schema, merged, parse
from vec2face.config.generation import GenerateRecipe
from vec2face.config.library import recipe_values
from vec2face.config.recognition import RecognizerRecipe
from vec2face.config.training import Count
from vec2face.errors import ConfigError

NAME = r"^[a-z0-9][a-z0-9-]*$"


class StudyTrial(Schema):
    """Recognisers trained on one dataset, or a part of it, with one seed each."""

    name: str = Field(pattern=NAME, description="lower-case letters, digits and hyphens; a folder")
    purpose: str = Field(min_length=1, description="what the trial shows, in a sentence")
    dataset: str = Field(description="name of one of the datasets")
    people: Count | None = Field(None, description="the first so many people only")
    images_per_person: Count | None = Field(None, description="the first so many images of each person only")
    at_least: dict[str, float] = Field(
        {}, description="column of the audited dataset's table -> lowest value; images below are left out"
    )
    training: dict[str, Any] = Field({}, description="keys laid over the recogniser's recipe")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of weights, order and augmentation; one run each")
    tested: bool = Field(False, description="whether the test sets are measured too; settings are chosen without them")

    @model_validator(mode="after")
    def _sizes_and_seeds_have_their_place(self) -> "StudyTrial":
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed is given twice")
        if {"datasets", "validation", "keep"} & set(self.training):
            raise ValueError(
                "training can set none of datasets, validation, keep: people, images_per_person and at_least say what "
                "is taken, and the study has a validation set of its own"
            )
        if "seed" in self.training.get("run", {}):
            raise ValueError("seeds stand under seeds")
        return self


class StudyRecipe(Schema):
    """What moves the accuracy of a recogniser that is trained on synthetic faces alone."""

    generate: str = Field(min_length=1, description="recipe of the datasets: a file, or the name of a shipped one")
    datasets: dict[str, dict[str, Any]] = Field(
        min_length=1, description="name -> keys laid over that recipe; {} is the recipe itself"
    )
    train: str = Field(min_length=1, description="recipe of the recognisers: a file, or the name of a shipped one")
    training: dict[str, Any] = Field({}, description="keys laid over that recipe for every trial")
    trials: tuple[StudyTrial, ...] = Field(min_length=1, description="run in this order")

    @model_validator(mode="after")
    def _names_fit(self) -> "StudyRecipe":
        names = [trial.name for trial in self.trials]
        if len(set(names)) != len(names):
            raise ValueError("two trials have the same name")
        unknown = sorted({trial.dataset for trial in self.trials} - set(self.datasets))
        if unknown:
            raise ValueError(f"no dataset is called {', '.join(unknown)}; there are {', '.join(self.datasets)}")
        unused = sorted(set(self.datasets) - {trial.dataset for trial in self.trials})
        if unused:
            raise ValueError(f"no trial uses the dataset {', '.join(unused)}")
        return self


@dataclass(frozen=True)
class StudyRun:
    """One training of a study: its trial, its seed, and its whole recipe."""

    trial: StudyTrial
    seed: int
    recipe: RecognizerRecipe

    @property
    def name(self) -> str:
        """The run's folder."""
        return f"{self.trial.name}-seed{self.seed}"


def resolve(study: StudyRecipe) -> tuple[dict[str, GenerateRecipe], tuple[StudyRun, ...]]:
    """Return the recipe of every dataset by name, and every run in order.

    Raises:
        ConfigError: a base does not exist, or something is no valid recipe or asks for more people or images than its
            dataset has; every problem is named.
    """
    problems: list[str] = []
    datasets: dict[str, GenerateRecipe] = {}
    generate, origin = recipe_values(study.generate, kind="generate")
    for name, changes in study.datasets.items():
        try:
            datasets[name] = parse(GenerateRecipe, merged(generate, changes), where=f"dataset {name} ({origin})")
        except ConfigError as error:
            problems.append(str(error))
    train, where = recipe_values(study.train, kind="train_recognizer")
    runs: list[StudyRun] = []
    for trial in study.trials:
        if trial.dataset in datasets:
            problems += _too_large(trial, datasets[trial.dataset])
        values = merged(merged(train, study.training), trial.training)
        taken = trial.model_dump(include={"people", "images_per_person", "at_least"})
        for seed in trial.seeds:
            own = merged(values, {"run": {"seed": seed}})
            own["datasets"] = [taken]
            try:
                recipe = parse(RecognizerRecipe, own, where=f"trial {trial.name} ({where})")
            except ConfigError as error:
                problems.append(str(error))
                break
            runs.append(StudyRun(trial, seed, recipe))
    if problems:
        raise ConfigError("\n".join(problems))
    return datasets, tuple(runs)


def _too_large(trial: StudyTrial, dataset: GenerateRecipe) -> list[str]:
    problems = []
    limits: Mapping[str, tuple[int | None, int | None]] = {
        "people": (trial.people, dataset.identities.count),
        "images_per_person": (trial.images_per_person, dataset.images_per_identity),
    }
    for name, (wanted, there) in limits.items():
        if wanted is not None and there is not None and wanted > there:
            problems.append(f"trial {trial.name}: {name} {wanted} is more than dataset {trial.dataset} has ({there}).")
    return problems
