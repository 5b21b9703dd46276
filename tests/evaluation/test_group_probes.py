"""Probes of groups are fitted on labelled embeddings, measured on faces they have not seen, saved, and opened again."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from vec2face.checkpoints import digest
from vec2face.config.base import parse
from vec2face.config.groups import GroupsRecipe
from vec2face.errors import ContractError, InputError
from vec2face.evaluation.group_errors import describe_errors
from vec2face.evaluation.group_fitting import fit_groups
from vec2face.evaluation.group_probes import GroupProbes, open_group_probes
from vec2face.evaluation.stored_faces import UNKNOWN, StoredFaces
from vec2face.progress import SilentProgress

EMBEDDER = {"reference": "somewhere", "name": "space", "sha256": "e" * 64}
COUNT, WIDTH = 240, 12
GROUPS = ("low", "middle", "high")


def recipe(**changes):
    probe = {
        "name": "level",
        "column": "level",
        "note": "of this test",
        "groups": [{"name": name, "labels": [number]} for number, name in enumerate(GROUPS)],
    }
    return parse(GroupsRecipe, {"name": "test", "probes": [probe], "folds": 3, "apart": 0.99} | changes, where="test")


def faces(vectors, people=None):
    vectors = np.asarray(vectors, np.float32)
    names = () if people is None else tuple(dict.fromkeys(people))
    return StoredFaces(
        name="faces",
        plain=vectors,
        both=2 * vectors,
        people=np.full(len(vectors), UNKNOWN) if people is None else np.array([names.index(one) for one in people]),
        keys=tuple(f"{row:03d}" for row in range(len(vectors))),
        names=names,
        mirrored=True,
        facts={},
    )


def table(path, levels, **columns):
    cells = {"key": [f"{row:03d}" for row in range(len(levels))], "level": levels, **columns}
    lines = [",".join(cells), *(",".join(map(str, row)) for row in zip(*cells.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 3, COUNT)
    vectors = rng.standard_normal((COUNT, WIDTH))
    vectors[np.arange(COUNT), levels] += 4
    return SimpleNamespace(levels=levels, vectors=vectors)


def fit(given, labels, **changes):
    return fit_groups(recipe(**changes), given, labels, embedder=EMBEDDER, progress=SilentProgress())


def test_groups_that_can_be_told_are_told_on_faces_held_out(world, tmp_path):
    found = fit(faces(world.vectors), table(tmp_path / "labels.csv", world.levels))
    (probe,) = found.probes
    assert probe.confusion.sum(axis=1).tolist() == np.bincount(world.levels).tolist()
    assert (probe.missed < 0.2).all()
    assert probe.mistaken == pytest.approx([np.delete(probe.rates[:, at], at).mean() for at in range(3)])
    assert (probe.count(5 * world.vectors) == world.levels).mean() > 0.9
    assert probe.further is None
    assert found.fitted_on["faces"] == COUNT


def test_two_groups_are_one_probe_of_two_rows(world, tmp_path):
    two = [{"name": "low", "labels": [0]}, {"name": "other", "labels": [1, 2]}]
    labels = table(tmp_path / "labels.csv", world.levels)
    (probe,) = fit(faces(world.vectors), labels, probes=[{"name": "l", "column": "level", "groups": two}]).probes
    assert probe.weight.shape == (2, WIDTH)
    assert (probe.count(world.vectors) == np.minimum(world.levels, 1)).mean() > 0.9


def test_labels_that_mean_nothing_give_errors_of_chance_although_faces_are_there_twice(tmp_path):
    rng = np.random.default_rng(1)
    once = rng.standard_normal((COUNT // 2, WIDTH))
    levels = rng.integers(0, 3, COUNT // 2)
    doubled = np.repeat(once, 2, axis=0) + 0.01 * rng.standard_normal((COUNT, WIDTH))
    labels = table(tmp_path / "labels.csv", np.repeat(levels, 2))
    (probe,) = fit(faces(doubled), labels, apart=0.9).probes
    assert probe.missed.mean() > 0.5
    (named,) = fit(faces(doubled, people=[f"p{row // 2}" for row in range(COUNT)]), labels).probes
    assert named.missed.mean() > 0.5


def test_rows_and_further_rows_are_kept_apart(world, tmp_path):
    use = np.array([1, 1, 1, 2])[np.arange(COUNT) % 4]
    labels = table(tmp_path / "labels.csv", world.levels, use=use)
    conditions = {"rows": [{"column": "use", "labels": [1]}], "further": [{"column": "use", "labels": [2]}]}
    found = fit(faces(world.vectors), labels, **conditions)
    (probe,) = found.probes
    assert probe.confusion.sum() == found.fitted_on["faces"] == (use == 1).sum()
    assert probe.further.sum() == found.fitted_on["further"] == (use == 2).sum()
    assert np.diagonal(probe.further).sum() > 0.8 * (use == 2).sum()
    said = describe_errors(found)
    assert f"further faces ({(use == 2).sum()})" in said
    assert f"| high | {probe.confusion[2].sum()} |" in said


def test_what_is_saved_is_opened_again(world, tmp_path):
    found = fit(faces(world.vectors), table(tmp_path / "labels.csv", world.levels))
    found.save(tmp_path / "groups")
    again = open_group_probes(str(tmp_path / "groups"))
    assert again is not None
    assert (again.name, again.embedder, again.fitted_on) == (found.name, EMBEDDER, found.fitted_on)
    assert len(again.sha256) == 64
    (probe,), (before,) = again.probes, found.probes
    assert (probe.groups, probe.note, probe.further) == (GROUPS, "of this test", None)
    assert (probe.count(world.vectors) == before.count(world.vectors)).all()
    assert (probe.confusion == before.confusion).all()
    again.require_embedder("e" * 64)
    with pytest.raises(ContractError, match=r"somewhere is not the one .* fit them again"):
        again.require_embedder("f" * 64)


def test_damaged_folders_are_told(world, tmp_path):
    assert open_group_probes("none") is None
    with pytest.raises(InputError, match="holds no readable probes of groups"):
        open_group_probes(str(tmp_path))
    fit(faces(world.vectors), table(tmp_path / "labels.csv", world.levels)).save(tmp_path)
    document = json.loads((tmp_path / "groups.json").read_text())
    document["probes"][0]["groups"].append("one more")
    (tmp_path / "groups.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="do not fit its 4 groups"):
        GroupProbes.load(tmp_path)


def test_labels_that_cannot_be_used_are_told(world, tmp_path):
    given = faces(world.vectors)
    with pytest.raises(InputError, match="cannot read the labels"):
        fit(given, tmp_path / "missing.csv")
    (tmp_path / "bare.csv").write_text("key\n000\n")
    with pytest.raises(InputError, match="has no column level"):
        fit(given, tmp_path / "bare.csv")
    (tmp_path / "twice.csv").write_text("key,level\n000,1\n000,2\n")
    with pytest.raises(InputError, match="line 3: 000 is labelled twice"):
        fit(given, tmp_path / "twice.csv")
    with pytest.raises(
        InputError, match="0 of the embedded faces are of the group 'high' of level; it takes at least 6"
    ):
        fit(given, table(tmp_path / "few.csv", np.minimum(world.levels, 1)))
    both = [{"name": "low", "below": 2}, {"name": "all", "low": 0}]
    with pytest.raises(InputError, match="is in two groups of l, low and all; ranges and labels of groups"):
        fit(given, table(tmp_path / "all.csv", world.levels), probes=[{"name": "l", "column": "level", "groups": both}])


def test_the_embedded_probes_belong_to_the_embedded_embedder():
    found = open_group_probes("embedded")
    assert found is not None
    found.require_embedder(digest("embedded", kind="embedder"))
    assert [probe.name for probe in found.probes] == ["sex", "ethnicity", "age"]
    for probe in found.probes:
        assert (np.diagonal(probe.rates) > 1 / len(probe.groups)).all()  # better than chance for every group
        assert probe.note
