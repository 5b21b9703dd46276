"""Linear probes: cross-validation against plain scikit-learn, people kept apart, and files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vec2face.checkpoints import digest, load_embedder
from vec2face.errors import ContractError, InputError
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.steering.catalogue import open_estimators
from vec2face.steering.linear_probe import LinearProbe, ProbeWeights, features_of
from vec2face.steering.probes import fit_probe, probe_facts, read_labels


def data(count: int = 60, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = 3 + rng.normal(size=(count, width)) * np.arange(1, width + 1)
    return features, features @ np.arange(width) + 0.1 * rng.normal(size=count)


def test_a_regression_finds_its_weights_and_tells_its_held_out_error() -> None:
    features, values = data()
    fit = fit_probe(features, values, kind="regression", people=None, folds=5, seed=0)
    assert fit.weight == pytest.approx(np.arange(6), abs=0.1)
    assert np.abs(features @ fit.weight + fit.bias - values).mean() == pytest.approx(0.08, abs=0.05)
    assert 0.05 < fit.error < 0.2 < 5 < fit.baseline
    assert fit.score > 0.99
    assert (fit.folds, fit.people_apart) == (5, False)


def test_noise_is_not_praised() -> None:
    features, _ = data()
    values = np.random.default_rng(1).normal(size=60)
    fit = fit_probe(features, values, kind="regression", people=None, folds=5, seed=0)
    assert fit.error > 0.85 * fit.baseline
    assert fit.score < 0.1


def test_people_are_kept_apart() -> None:
    # Each person has a feature of their own that gives the value away; it says nothing of anybody else.
    people = np.repeat(np.arange(12), 5)
    values = np.random.default_rng(2).normal(size=12)[people]
    features = np.eye(12)[people]
    known = fit_probe(features, values, kind="regression", people=[str(one) for one in people], folds=4, seed=0)
    mixed = fit_probe(features, values, kind="regression", people=None, folds=4, seed=0)
    assert mixed.error < 0.2 * mixed.baseline
    assert known.error > 0.8 * known.baseline
    assert known.people_apart


def test_a_logistic_probe_tells_classes_apart() -> None:
    features, values = data()
    labels = (values > np.median(values)).astype(float)
    fit = fit_probe(features, labels, kind="logistic", people=None, folds=3, seed=0)
    assert fit.score > 0.95
    assert fit.error < 0.25 < 0.45 < fit.baseline
    assert 0 <= fit.missed < 0.2
    assert 0 <= fit.mistaken < 0.2


@pytest.mark.parametrize(
    ("values", "kind", "people", "folds", "sentence"),
    [
        (np.ones(6), "regression", None, 2, "all labels are 1"),
        (np.arange(6.0), "logistic", None, 2, "takes the values 0 and 1 alone"),
        (np.arange(6.0), "regression", None, 7, "6 faces cannot be divided into 7 folds"),
        (np.arange(6.0), "regression", ["a", "a", "a", "b", "b", "b"], 3, "2 people cannot be divided into 3 folds"),
        (np.array([0, 0, 0, 1, 1, 1.0]), "logistic", list("aaabbb"), 2, "training folds have one value"),
    ],
)
def test_labels_that_cannot_be_learned(values: np.ndarray, kind, people, folds: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fit_probe(np.eye(6), values, kind=kind, people=people, folds=folds, seed=0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("key,age\na,1\n", "has no column value"),
        ("", "has no column key and no column value"),
        ("key,value\n", "holds no labels"),
        ("key,value\na,old\n", "line 2: 'a','old' is no key and number"),
        ("key,value\na,1\nb,nan\n", "line 3"),
        ("key,value\na,1\na,2\n", "line 3: a is labelled twice"),
        ("key,value\na\n", "line 2"),
    ],
)
def test_label_files_that_cannot_be_read(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(InputError, match="cannot read the labels"):
        read_labels(tmp_path / "nothing.csv")


def test_labels_are_read_with_other_columns_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("\ufeffkey,who,value\na/1.png,x,1.5\nb,y,-2\n", encoding="utf-8")
    assert read_labels(tmp_path / "labels.csv") == {"a/1.png": 1.5, "b": -2.0}


def probe_of(embedder: str, features: str, width: int, kind: str = "regression") -> ProbeWeights:
    values = np.arange(20, 60.0)
    weight = np.random.default_rng(3).normal(size=width).astype(np.float32)
    facts = probe_facts("age", "years", values, kind=kind, error=4.0, tolerance=None)
    return ProbeWeights(weight, 0.5, kind, features, facts, embedder, digest(embedder, kind="embedder"), {"faces": 40})


@pytest.mark.parametrize(("features", "width"), [("embedding", 128), ("maps", 4 * (4 + 8 + 8 + 8))])
@pytest.mark.parametrize("kind", ["regression", "logistic"])
def test_a_probe_survives_its_files(
    tiny_embedder_dir: Path, tmp_path: Path, features: str, width: int, kind: str
) -> None:
    probe = probe_of(str(tiny_embedder_dir), features, width, kind)
    probe.save(tmp_path / "probe")
    (loaded,) = open_estimators(["age"], references=[str(tmp_path / "probe")])
    images = torch.rand((2, 3, 112, 112), generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = features_of(load_embedder(str(tiny_embedder_dir)), probe.features)(images).detach().numpy()
    linear = seen.astype(float) @ probe.weight + 0.5
    expected = 1 / (1 + np.exp(-linear)) if kind == "logistic" else linear
    assert loaded.estimate(images).tolist() == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)
    assert loaded.facts == probe.facts
    assert (loaded.facts.low, loaded.facts.tolerance) == ((0.0, 0.1) if kind == "logistic" else (20.39, 4.0))


def test_a_probe_is_refused_with_another_network(
    tiny_embedder_dir: Path, tmp_path: Path, pattern_embedders: dict[str, FaceEmbedder]
) -> None:
    probe = probe_of(str(tiny_embedder_dir), "embedding", 128)
    other = ProbeWeights(**{**vars(probe), "embedder_sha256": "0" * 64})
    other.save(tmp_path / "other")
    with pytest.raises(ContractError, match=r"is not the one that .* was fitted on; fit it again"):
        LinearProbe.load(tmp_path / "other")
    with pytest.raises(ContractError, match="passes no gradient"):
        LinearProbe(probe, pattern_embedders["pattern"])
    narrow = probe_of(str(tiny_embedder_dir), "embedding", 5)
    with pytest.raises(ContractError, match="5 weights for 128 features"):
        LinearProbe(narrow, load_embedder(str(tiny_embedder_dir))).estimate(torch.zeros((1, 3, 112, 112)))
    with pytest.raises(ContractError, match="shows no feature maps"):
        features_of(pattern_embedders["pattern"], "maps")


def test_damaged_probes_are_one_sentence(tiny_embedder_dir: Path, tmp_path: Path) -> None:
    probe_of(str(tiny_embedder_dir), "embedding", 128).save(tmp_path)
    whole = (tmp_path / "probe.json").read_text()
    for text in ("", "[]", whole.replace("probe/1", "probe/9"), whole.replace('"kind"', '"sort"')):
        (tmp_path / "probe.json").write_text(text)
        with pytest.raises(InputError, match="probe"):
            ProbeWeights.load(tmp_path)
    (tmp_path / "probe.json").write_text(whole.replace('"regression"', '"magic"'))
    with pytest.raises(InputError, match="kind 'magic'"):
        ProbeWeights.load(tmp_path)
