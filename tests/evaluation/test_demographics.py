"""The audit counts a set's people over groups, by probes of the main embedder or of another."""

import numpy as np
import pytest

from vec2face.config.audit import AuditOptions
from vec2face.errors import ContractError
from vec2face.evaluation.demographics import Demographics
from vec2face.evaluation.embeddings import embed_dataset
from vec2face.evaluation.face_sets import open_audited
from vec2face.evaluation.group_probes import GroupProbe, GroupProbes
from vec2face.evaluation.people import unit
from vec2face.progress import SilentProgress

PEOPLE, IMAGES = 6, 4
PATTERN = "1" * 64


@pytest.fixture
def world(tmp_path, monkeypatch, pattern_embedders, build_dataset):
    """A dataset of patterns, and the options of probes that take its first two people for one group."""
    monkeypatch.setattr("vec2face.evaluation.demographics.load_embedder", pattern_embedders.__getitem__)
    monkeypatch.setattr("vec2face.evaluation.demographics.digest", lambda ref, *, kind: PATTERN)
    dataset = open_audited(
        str(build_dataset(tmp_path / "data", identities=PEOPLE, images=IMAGES)), report=None, people="auto"
    )
    vectors = unit(dataset.bank.vectors)
    weight = np.stack([vectors[:2].sum(axis=0), vectors[2:].sum(axis=0)]).astype(np.float32)
    confusion = np.array([[90, 10], [5, 95]])
    probe = GroupProbe("kind", "of this test", ("few", "many"), weight, np.zeros(2, np.float32), confusion)
    embedder = {"reference": "pattern", "name": "pattern", "sha256": PATTERN}
    GroupProbes("probes", embedder, {}, (probe,)).save(tmp_path / "groups")
    return dataset, AuditOptions(groups=str(tmp_path / "groups"))


def measured(world, embedded, excluded=()):
    dataset, options = world
    opened = Demographics.open(options)
    assert opened is not None
    return opened.measure(dataset, embedded, options=options, excluded=excluded, progress=SilentProgress())


def test_people_are_counted_and_the_probes_errors_stand_beside(world):
    found = measured(world, {})
    assert (found["name"], found["embedder"]) == ("probes", "pattern")
    assert (found["identities"], found["images"]) == (PEOPLE, PEOPLE * IMAGES)
    (kind,) = found["by"]
    assert (kind["name"], kind["note"], kind["agreement"]) == ("kind", "of this test", 1.0)
    few, many = kind["groups"]
    assert few["counted"] == pytest.approx(1 / 3)
    assert few["corrected"] == pytest.approx((1 / 3 - 0.05) / 0.85, abs=1e-5)
    assert few["low"] < few["corrected"] < few["high"]
    assert (few["missed"], few["mistaken"], few["faces"]) == pytest.approx((0.1, 0.05, 100))
    assert many["counted"] == pytest.approx(2 / 3)


def test_vectors_that_are_there_are_not_made_again(world, pattern_embedders, monkeypatch):
    dataset, _ = world
    embedded = embed_dataset(
        dataset, pattern_embedders["pattern"], embedder_digest=PATTERN, images_per_identity=None, batch_size=8
    )
    monkeypatch.setattr("vec2face.evaluation.demographics.embed_dataset", None)
    assert measured(world, {"2" * 64: None, PATTERN: embedded})["images"] == PEOPLE * IMAGES


def test_who_is_excluded_is_not_counted(world):
    found = measured(world, {}, excluded=(0, 1))
    assert found["identities"] == PEOPLE - 2
    assert found["by"][0]["groups"][0]["counted"] == 0


def test_probes_of_another_embedder_are_refused_before_any_work(world, monkeypatch):
    monkeypatch.setattr("vec2face.evaluation.demographics.digest", lambda ref, *, kind: "3" * 64)
    with pytest.raises(ContractError, match="--groups none"):
        Demographics.open(world[1])
    assert Demographics.open(AuditOptions(groups="none")) is None
