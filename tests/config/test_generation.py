"""The schema of generation recipes: defaults, cross-checks, and every problem at once."""

import pytest

from vec2face.config.base import parse
from vec2face.config.generation import GenerateRecipe, Identities
from vec2face.errors import ConfigError


def fields(schema: type, prefix: str = "") -> list[tuple[str, str | None]]:
    found = []
    for name, field in schema.model_fields.items():
        inner = field.annotation
        found.append((prefix + name, field.description))
        if hasattr(inner, "model_fields"):
            found.pop()
            found += fields(inner, f"{prefix}{name}.")
    return found


def test_every_field_says_its_meaning() -> None:
    assert [name for name, description in fields(GenerateRecipe) if not description] == []


def test_the_default_mixture_is_the_published_one() -> None:
    mixture = GenerateRecipe().variation.mixture
    assert [(part.sigma, part.share) for part in mixture] == [(0.3, 40), (0.5, 40), (0.7, 20)]


def test_resolving_leaves_no_null_that_stands_for_a_number() -> None:
    recipe = GenerateRecipe().resolved()
    assert (recipe.identities.source, recipe.identities.count, recipe.identities.ceiling) == ("pca", 100, 0.3)
    assert recipe.image.quality == 95
    assert recipe.resolved() == recipe


def test_a_bank_is_not_resolved_to_a_sampling() -> None:
    identities = Identities(bank="bank.npy")
    assert identities.resolved() == identities
    assert identities.sampled_from is None


def test_all_problems_are_told_at_once() -> None:
    values = {
        "seeds": 1,
        "images_per_identity": 0,
        "identities": {"count": -1},
        "image": {"format": "png", "quality": 90},
        "mask": {"min": 0.5, "max": 0.2, "mean": 0.3, "std": 0.1},
        "compute": {"batch_size": 0, "dtype": "float64"},
    }
    with pytest.raises(ConfigError) as caught:
        parse(GenerateRecipe, values, where="mine.yaml")
    lines = str(caught.value).splitlines()
    for start in (
        "mine.yaml: seeds: unknown key",
        "mine.yaml: images_per_identity: ",
        "mine.yaml: identities.count: ",
        "mine.yaml: image: png is lossless",
        "mine.yaml: mask: min must not be larger than max",
        "mine.yaml: compute.batch_size: ",
        "mine.yaml: compute.dtype: ",
    ):
        assert any(line.startswith(start) for line in lines), (start, lines)


@pytest.mark.parametrize(
    ("identities", "problem"),
    [
        ({"bank": "a", "source": "pca"}, "bank and source exclude each other"),
        ({"bank": "a", "photos": {"paths": ["b"]}}, "bank and photos exclude each other"),
        ({"bank": "a", "ceiling": 0.3}, "ceiling belongs to sampling"),
        ({"source": "file"}, "source: file needs candidates"),
        ({"source": "pca", "candidates": "a"}, "candidates belongs to source: file"),
        ({"statistics": "a", "source": "gaussian"}, "statistics belongs to source: pca"),
        ({"standard_deviation": 1.0}, "standard_deviation belongs to source: gaussian"),
    ],
)
def test_origins_of_identities_do_not_mix(identities: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse(GenerateRecipe, {"identities": identities}, where="mine.yaml")


def test_a_sigma_stands_in_the_mixture_once() -> None:
    mixture = [{"sigma": 0.3, "share": 1}, {"sigma": 0.3, "share": 2}]
    with pytest.raises(ConfigError, match="each sigma may stand in the mixture once"):
        parse(GenerateRecipe, {"variation": {"mixture": mixture}}, where="mine.yaml")


def test_a_wrong_share_is_one_problem_and_not_a_short_mixture_as_well() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(GenerateRecipe, {"variation": {"mixture": [{"sigma": 0.3, "share": 0}]}}, where="options")
    assert str(caught.value) == "options: variation.mixture.0.share: input should be greater than 0, not 0"
    with pytest.raises(ConfigError, match=r"variation\.mixture: tuple should have at least 1 item"):
        parse(GenerateRecipe, {"variation": {"mixture": []}}, where="options")


@pytest.mark.parametrize("key", ["batch_size", "threads_per_worker"])
def test_numbers_beyond_any_machine_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"compute\.{key}: input should be less than or equal to"):
        parse(GenerateRecipe, {"compute": {key: 10**9}}, where="options")
