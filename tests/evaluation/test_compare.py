"""Published rows are whole and consistent; results stand beside them only where the sets are the same."""

import json

import pytest
from click.testing import CliRunner

from vec2face.errors import InputError
from vec2face.evaluation.compare import bars, compare, read_runs
from vec2face.evaluation.published_rows import BENCHMARKS, MARKS, column_of, published_rows
from vec2face_cli.evaluate import evaluate

COLUMNS = [benchmark.column for benchmark in BENCHMARKS]
NAMES = {"LFW": "lfw", "CFP-FP": "cfp_fp", "CPLFW": "cplfw", "AgeDB": "agedb_30", "CALFW": "calfw"}


def test_published_rows_are_whole():
    rows = published_rows()
    assert len({row.dataset for row in rows}) == len(rows) > 30
    for row in rows:
        assert row.kind in ("synthetic", "real", "mixed")
        assert row.mark in MARKS
        assert set(row.recipe) == {"backbone", "head", "augmentation", "selection"}
        assert set(row.scores) in ({*COLUMNS, "Avg"}, {"Avg"})
        assert all(50 < score < 100 for score in row.scores.values())


def test_published_averages_are_means_but_where_a_note_says_otherwise():
    for row in published_rows():
        if len(row.scores) == 6 and "not the mean" not in (row.note or ""):
            mean = sum(row.scores[column] for column in COLUMNS) / 5
            assert row.scores["Avg"] == pytest.approx(mean, abs=0.011), row.dataset


def test_known_rows():
    rows = {row.dataset: row for row in published_rows()}
    assert rows["HSFace10K (Vec2Face)"].scores["Avg"] == 92.00
    assert rows["CASIA-WebFace (real)"].scores["CFP-FP"] == 96.91
    assert "test sets" in (rows["HSFace10K (Vec2Face)"].recipe["selection"] or "")


def test_a_column_needs_name_and_size():
    assert column_of("AgeDB_30", 6000) == "AgeDB"
    assert column_of("lfw", 1200) is None
    assert column_of("lfw_dev", 6000) is None


def result(path, name, accuracies, *, pairs=None, digest="a", **more):
    sizes = {benchmark.column: benchmark.pairs for benchmark in BENCHMARKS}
    sets = [
        {
            "name": NAMES.get(column, column),
            "group": None,
            "pairs": pairs or sizes.get(column, 500),
            "digest": f"{column}-{digest}",
            "accuracy": {"mean": value},
        }
        for column, value in accuracies.items()
    ]
    benchmarks = {c: 100 * v for c, v in accuracies.items() if c in sizes and not pairs}
    if len(benchmarks) == 5:
        benchmarks["Avg"] = sum(benchmarks.values()) / 5
    facts = {"protocol": "verification", "subject": {"name": name, "network": "IResNet"}, "sets": sets}
    path.mkdir()
    (path / "result.json").write_text(json.dumps(facts | {"benchmarks": benchmarks} | more))
    return str(path)


def test_runs_beside_published_rows(tmp_path):
    training = {
        "recipe": {"head": {"kind": "arcface"}, "keep": "last", "augmentation": {"flip": 0.5, "erase": 0.1}},
        "images_seen": 1000,
    }
    whole = result(tmp_path / "a", "ours", dict.fromkeys(COLUMNS, 0.91) | {"mine": 0.7}, training=training)
    small = result(tmp_path / "b", "small", {"LFW": 0.8}, pairs=1200)
    facts = compare(read_runs([whole, f"second={small}"]), published=True)
    assert facts["columns"] == [*COLUMNS, "Avg", "mine (500 pairs)", "lfw (1,200 pairs)"]
    first, second = facts["rows"][:2]
    assert first["scores"]["Avg"] == pytest.approx(91.0)
    assert first["recipe"] == {
        "backbone": "IResNet",
        "head": "arcface",
        "augmentation": "flip 0.5, erase 0.1",
        "selection": "the last checkpoint",
    }
    assert (second["name"], second["scores"]) == ("second", {"lfw (1,200 pairs)": 80.0})
    averages = [row["scores"]["Avg"] for row in facts["rows"][2:]]
    assert averages == sorted(averages)
    column, values = bars(facts)
    assert (column, values["ours"]) == ("Avg", (pytest.approx(91.0), True))
    assert "second" not in values
    alone = compare(read_runs([small]), published=False)
    assert (alone["columns"], alone["warning"]) == (["lfw (1,200 pairs)"], None)
    assert bars(alone)[0] == "lfw (1,200 pairs)"


def test_sets_of_one_name_that_differ_are_told(tmp_path):
    first = result(tmp_path / "a", "one", {"LFW": 0.9})
    second = result(tmp_path / "b", "two", {"LFW": 0.8}, digest="b")
    assert compare(read_runs([first, second]), published=False)["differing"] == ["LFW"]
    assert compare(read_runs([first]), published=False)["differing"] == []


def test_the_command(tmp_path):
    ours, out = result(tmp_path / "a", "ours", dict.fromkeys(COLUMNS, 0.9)), tmp_path / "out"
    done = CliRunner().invoke(evaluate, ["compare", ours, "--published", "--out", str(out)])
    assert done.exit_code == 0, done.exception
    assert "HSFace10K (Vec2Face)" in done.output
    markdown = (out / "comparison.md").read_text()
    assert "| ours | this machine |" in markdown
    assert "| UIFace | published \\[R] | 0.5M | 99.27 |" in markdown
    assert "data:image/png" in (out / "comparison.html").read_text()
    assert len(json.loads((out / "comparison.json").read_text())["rows"]) == 1 + len(published_rows())


def test_bad_results_are_told(tmp_path):
    good = result(tmp_path / "a", "ours", {"LFW": 0.9})
    for text, message in (
        ("{", "cannot read the result"),
        ('{"protocol": "ijb"}', "is no result of"),
        ('{"protocol": "verification", "sets": []}', "lacks subject, benchmarks"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_runs([str(tmp_path / "bad.json")])
    with pytest.raises(InputError, match="No such file"):
        read_runs([str(tmp_path / "absent")])
    with pytest.raises(InputError, match="given twice"):
        read_runs([good, f"{good}/result.json"])
    with pytest.raises(InputError, match="two results are called 'ours'; name one"):
        read_runs([good, result(tmp_path / "b", "ours", {"LFW": 0.8})])
