"""Identities chosen by their pictures keep apart in them, are recognised, and do not depend on interruptions."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.generation.conftest import MakeDataset, MakeRecipe
from vec2face.config.generation import MOST_IMAGES_TRIED, RenderedSelection
from vec2face.errors import InputError
from vec2face.fileio.partial import PartialWork
from vec2face.generation import select
from vec2face.generation.inputs import generator_facts, prepare
from vec2face.generation.probe import Probe
from vec2face.generation.select import Places, candidates_for, select_rendered
from vec2face.identities import IdentityBank
from vec2face.identities.bank import numbered_ids
from vec2face.progress import SilentProgress

RNG = np.random.default_rng(0)


class Painter:
    """A generator and embedder in one: what is seen of a vector is the vector, crowded and with an error of its own."""

    def __init__(self, width: int) -> None:
        self.embedder = SimpleNamespace(dim=width)
        self.seen: list[int] = []

    def sums(self, identities: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        self.seen += identities.tolist()
        return np.stack([self.painted(vector) for vector in vectors])

    def painted(self, vector: np.ndarray) -> np.ndarray:
        error = np.random.default_rng(int(1e6 * abs(float(vector[0])))).standard_normal(len(vector))
        return vector / np.linalg.norm(vector) + 0.12 * error

    def centres(self, sums: np.ndarray) -> np.ndarray:
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def fill(places: Places) -> None:
    while places.waiting:
        places.try_some()


@pytest.mark.parametrize("chunk", [1, 32])
def test_places_are_filled_with_people_who_keep_apart(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "CHUNK", chunk)
    vectors = np.random.default_rng(1).standard_normal((120, 12)).astype(np.float32)
    painter: Any = Painter(12)
    places = Places(painter, vectors, count=30, ceiling=0.6, consistency=0.9)
    fill(places)
    assert len(set(places.chosen.tolist())) == 30
    centres = painter.centres(np.stack([painter.painted(vectors[row]) for row in places.chosen]))
    assert (centres @ centres.T - 2 * np.eye(30)).max() < 0.6
    units = vectors[places.chosen] / np.linalg.norm(vectors[places.chosen], axis=1, keepdims=True)
    assert (centres * units).sum(axis=1).min() >= 0.9
    assert places.too_close > 0
    assert places.not_recognised > 0
    assert places.tried == len(painter.seen) == 30 + places.too_close + places.not_recognised
    stayed = places.chosen < 30
    np.testing.assert_array_equal(places.chosen[stayed], np.flatnonzero(stayed))  # tried first in its own place


def test_places_that_cannot_be_filled_end_with_the_number_that_were() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    painter: Any = Painter(3)
    painter.painted = lambda vector: vector.astype(np.float64)
    with pytest.raises(
        InputError, match=r"only 3 of 5 identities keep apart as rendered: of 12 candidates 9 look like"
    ):
        fill(Places(painter, vectors, count=5, ceiling=0.9, consistency=None))


def test_filling_goes_on_where_it_was_stopped() -> None:
    vectors = RNG.standard_normal((100, 12)).astype(np.float32)

    def begin() -> Places:
        painter: Any = Painter(12)
        return Places(painter, vectors, count=40, ceiling=0.6, consistency=0.8)

    whole = begin()
    fill(whole)
    stopped, resumed = begin(), begin()
    stopped.try_some()
    resumed.take_back(*stopped.to_save())
    assert 0 < resumed.filled < 40
    fill(resumed)
    np.testing.assert_array_equal(resumed.chosen, whole.chosen)
    assert resumed.tried == whole.tried


def test_few_images_foretell_the_cosine_of_finished_centres() -> None:
    rng = np.random.default_rng(1)
    people, width, finished = 40, 32, 20
    middles = rng.standard_normal((people, width)) + 1.0
    images = middles[:, None] + 0.8 * rng.standard_normal((people, finished, width))
    images /= np.linalg.norm(images, axis=2, keepdims=True)
    plan: Any = SimpleNamespace(recipe=SimpleNamespace(images_per_identity=finished))

    def cosines(seen: int) -> np.ndarray:
        probe = Probe(plan, None, None, seen)  # type: ignore[arg-type]
        centres = probe.centres(images[:, :seen].sum(axis=1))
        table: np.ndarray = (centres @ centres.T)[np.triu_indices(people, 1)]
        return table

    truth = cosines(finished)
    np.testing.assert_allclose(cosines(6).mean(), truth.mean(), atol=0.005)
    sums = images[:, :6].sum(axis=1)
    plain = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    assert (plain @ plain.T)[np.triu_indices(people, 1)].mean() < truth.mean() - 0.01


def test_candidates_are_drawn_with_spare_ones(make_recipe: MakeRecipe) -> None:
    wanted = make_recipe(identities={"source": "gaussian", "rendered": {"spare": 0.3}}).identities.rendered
    assert wanted is not None
    assert candidates_for(11, wanted) == 15


@pytest.fixture
def rendered(tiny_embedder_dir: Path) -> dict[str, Any]:
    """A selection that the tiny random networks can meet: everybody passes, but everything is run."""
    return {"embedder": str(tiny_embedder_dir), "ceiling": 1.0, "consistency": -1.0, "images": 2}


def test_a_recipe_chooses_by_pictures_and_resumes_without_doing_it_again(
    make_recipe: MakeRecipe,
    make_dataset: MakeDataset,
    rendered: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identities = {"source": "gaussian", "count": 3, "ceiling": 0.5, "rendered": rendered}
    recipe = make_recipe(identities=identities)
    make_dataset(recipe, tmp_path / "d")
    bank = IdentityBank.load(tmp_path / "d" / "identities.safetensors")
    facts = bank.provenance["rendered"]
    assert (len(bank), facts["images"], facts["ceiling"]) == (3, 2, 1.0)
    assert len(facts["embedder_sha256"]) == 64
    monkeypatch.setattr("vec2face.generation.inputs.select_rendered", None)  # calling it would fail
    make_dataset(recipe, tmp_path / "d")
    with pytest.raises(TypeError):
        prepare(make_recipe(identities=identities, images_per_identity=5), tmp_path / "d")


def test_a_stopped_selection_is_gone_on_with(
    make_recipe: MakeRecipe, rendered: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "CHUNK", 2)
    recipe = make_recipe(identities={"source": "gaussian", "rendered": rendered})
    assert recipe.identities.rendered is not None
    vectors = RNG.standard_normal((6, 128)).astype(np.float32)
    bank = IdentityBank(vectors, numbered_ids(6), {"source": "test"})
    options: dict[str, Any] = {"count": 4, "wanted": recipe.identities.rendered}
    facts = generator_facts(recipe.weights)
    whole = select_rendered(bank, recipe, facts, **options, progress=SilentProgress())
    partial = PartialWork(tmp_path / "bank", interval=0)

    class Stop(SilentProgress):
        calls = 0

        def advance(self, amount: int, *, note: str = "") -> None:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_rendered(bank, recipe, facts, **options, partial=partial, progress=Stop())
    assert partial.path.exists()
    resumed = select_rendered(bank, recipe, facts, **options, partial=partial, progress=SilentProgress())
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.provenance == whole.provenance


@pytest.mark.parametrize(
    ("changes", "count", "message"),
    [
        ({}, 7, "6 candidates cannot give 7 identities"),
        ({"ceiling": None}, 2, "states no false match rates"),
    ],
)
def test_settings_that_do_not_fit_are_told(
    make_recipe: MakeRecipe, rendered: dict[str, Any], changes: dict[str, Any], count: int, message: str
) -> None:
    recipe = make_recipe(identities={"source": "gaussian", "rendered": {**rendered, **changes}})
    assert recipe.identities.rendered is not None
    bank = IdentityBank(RNG.standard_normal((6, 128)).astype(np.float32), numbered_ids(6), {})
    with pytest.raises(InputError, match=message):
        select_rendered(
            bank,
            recipe,
            generator_facts(recipe.weights),
            count=count,
            wanted=recipe.identities.rendered,
            progress=SilentProgress(),
        )


def test_pictures_are_compared_with_vectors_of_their_own_space_only(
    make_recipe: MakeRecipe, rendered: dict[str, Any]
) -> None:
    bank = IdentityBank(RNG.standard_normal((3, 128)).astype(np.float32), numbered_ids(3), {})
    for consistency in (0.5, None):
        recipe = make_recipe(identities={"source": "gaussian", "rendered": {**rendered, "consistency": consistency}})
        facts = replace(generator_facts(recipe.weights), feature_space="another")
        options: dict[str, Any] = {"count": 2, "wanted": recipe.identities.rendered, "progress": SilentProgress()}
        if consistency is None:
            assert select_rendered(bank, recipe, facts, **options).provenance["rendered"]["consistency"] is None
        else:
            with pytest.raises(InputError, match="cannot compare them with pictures"):
                select_rendered(bank, recipe, facts, **options)


def test_no_more_images_are_tried_than_the_dataset_will_have() -> None:
    tried = [RenderedSelection(images=images).images_tried(4) for images in (3, 4, 5, None)]
    assert tried == [3, 4, 4, 4]
    assert RenderedSelection().images_tried(10_000) == MOST_IMAGES_TRIED
