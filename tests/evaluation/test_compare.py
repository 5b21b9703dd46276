"""Published rows are whole and consistent; results stand beside them only where the sets are the same."""

import json

import pytest
from click.testing import CliRunner

from vec2face.cards.benchmark import comparison_document
from vec2face.errors import InputError
from vec2face.evaluation.compare import bars, compare, read_runs
from vec2face.evaluation.published_rows import BENCHMARKS, HARD_BENCHMARKS, MARKS, column_of, published_rows
from vec2face_cli.evaluate import evaluate

COLUMNS = [benchmark.column for benchmark in BENCHMARKS]
HARD = [benchmark.column for benchmark in HARD_BENCHMARKS]
NAMES = {"LFW": "lfw", "CFP-FP": "cfp_fp", "CPLFW": "cplfw", "AgeDB": "agedb_30", "CALFW": "calfw"}


def test_published_rows_are_whole():
    rows = published_rows()
    assert len({row.dataset for row in rows}) == len(rows) > 30
    for row in rows:
        assert row.kind in ("synthetic", "real", "mixed")
        assert row.mark in MARKS
        assert set(row.recipe) - {"stated"} == {"backbone", "head", "augmentation", "selection"}
        assert set(row.scores) in ({*COLUMNS, "Avg"}, {*COLUMNS, "Avg", *HARD}, {"Avg"})
        assert all(50 < score < 100 for score in row.scores.values())


def test_published_averages_are_means_but_where_a_note_says_otherwise():
    for row in published_rows():
        if len(row.scores) > 1 and "not the mean" not in (row.note or ""):
            mean = sum(row.scores[column] for column in COLUMNS) / 5
            assert row.scores["Avg"] == pytest.approx(mean, abs=0.011), row.dataset


def test_known_rows():
    rows = {row.dataset: row for row in published_rows()}
    assert rows["HSFace10K (Vec2Face)"].scores["Avg"] == 92.00
    assert rows["CASIA-WebFace (real)"].scores["CFP-FP"] == 96.91
    assert [rows["HSFace300K"].scores[column] for column in HARD] == [81.55, 71.35, 95.95, 90.49]
    assert sum("Hadrian" in row.scores for row in rows.values()) == 6
    assert "test sets" in (rows["HSFace10K (Vec2Face)"].recipe["selection"] or "")


def test_a_column_needs_name_and_size():
    assert column_of("AgeDB_30", 6000) == "AgeDB"
    assert column_of("lfw", 1200) is None
    assert column_of("lfw_dev", 6000) is None
    assert (column_of("sllfw", 6000), column_of("sllfw", 600)) == ("SLLFW", None)
    assert column_of("hadrian", 500) == "Hadrian"  # no source states how many pairs it has


def result(path, name, accuracies, *, pairs=None, digest="a", **more):
    sizes = {benchmark.column: benchmark.pairs for benchmark in (*BENCHMARKS, *HARD_BENCHMARKS)}
    sets = [
        {
            "name": NAMES.get(column, column.lower()),
            "group": None,
            "pairs": pairs or sizes.get(column) or 500,
            "digest": f"{column}-{digest}",
            "accuracy": {"mean": value},
        }
        for column, value in accuracies.items()
    ]
    benchmarks = {c: 100 * v for c, v in accuracies.items() if c in COLUMNS and not pairs}
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
    assert facts["columns"] == [*COLUMNS, "Avg", *HARD, "mine (500 pairs)", "lfw (1,200 pairs)"]
    first, second = facts["rows"][:2]
    assert first["scores"]["Avg"] == pytest.approx(91.0)
    assert {part: text for part, text in first["recipe"].items() if text is not None} == {
        "backbone": "IResNet",
        "head": "arcface",
        "augmentation": "flip 0.5, erase 0.1",
        "images seen": "1,000",
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


def trained(**changes):
    """Facts of a training as `train recognizer` writes them, with other options of the recipe, or other facts."""
    network = {"kind": "iresnet", "depth": 18, "squeeze_excitation": "none", "dim": 512}
    recipe = {
        "network": network | changes.get("network", {}),
        "head": changes.get("head", {"kind": "cosface", "scale": 32.0, "margin": 0.2}),
        "centre_share": changes.get("centre_share", 1.0),
        "prototypes": changes.get("prototypes"),
        "optimizer": changes.get("optimizer", {"kind": "sgd", "momentum": 0.9, "weight_decay": 5e-4}),
        "schedule": {"unit": "epochs", "length": 26.0, "batch_size": 128, "learning_rate": 0.1},
        "augmentation": {"flip": 0.5, "erase": changes.get("erase", 0.5)},
        "keep": "last",
        "weights": "last",
        "run": {"precision": "float16", "threads": changes.get("threads", 1)},
    }
    data = {"source": "x", "fingerprint": changes.get("data", "a") * 64, "people": 5000, "taken": 50_000}
    return {
        "recipe": recipe,
        "datasets": [data | {"source": changes.get("source", "x")}],
        "images_seen": changes.get("seen", 1_300_000),
        "seed": changes.get("seed", 0),
    }


def test_each_row_says_in_what_its_training_differs_from_the_first(tmp_path):
    other = trained(
        network={"depth": 50, "squeeze_excitation": "first_blocks"},
        head={"kind": "arcface", "scale": 64.0, "margin": 0.5},
        centre_share=0.1,
        prototypes={"images": 2, "weight": 1.0, "scale": 16.0},
        optimizer={"kind": "sgd", "momentum": 0.8, "weight_decay": 5e-4},
        erase=0.0,
        seen=640_000,
        seed=7,
        data="b",
    )
    paths = [
        result(tmp_path / "a", "first", {"LFW": 0.9}, training=trained()),
        result(tmp_path / "b", "same", {"LFW": 0.9}, training=trained(threads=2, source="elsewhere")),
        result(tmp_path / "c", "other", {"LFW": 0.9}, training=other),
        result(tmp_path / "d", "silent", {"LFW": 0.9}),
    ]
    facts = compare(read_runs(paths), published=True)
    first, same, changed, silent = facts["rows"][:4]
    assert (first["people"], first["images"]) == ("5,000 x 10", "50,000")
    assert first["recipe"]["backbone"] == "IResNet-18"
    assert first["recipe"]["head"] == "cosface, scale 32, margin 0.2"
    assert first["recipe"]["length"] == "26 epochs, batch 128, rate 0.1"
    assert first["recipe"]["data"] == f"5,000 x 10 ({'a' * 12})"
    assert (same["differs"], same["unstated"]) == ([], [])
    assert changed["recipe"]["backbone"] == "IResNet-50 with squeeze-excitation"
    assert changed["recipe"]["loss options"] == (
        "10 % of the class centres, and the batch's own people (images 2, weight 1, scale 16)"
    )
    assert changed["differs"] == [
        "backbone: depth 50, not 18; squeeze_excitation first_blocks, not none",
        "head: arcface, scale 64, margin 0.5, not cosface, scale 32, margin 0.2",
        "loss options: centre_share 0.1, not 1; prototypes yes, not none",
        "augmentation: erase 0, not 0.5",
        "images seen: 640,000, not 1,300,000",
        "optimiser: momentum 0.8, not 0.9",
        "seed: 7, not 0",
        f"data: 5,000 x 10 ({'b' * 12}), not 5,000 x 10 ({'a' * 12})",
    ]
    assert "head" in silent["unstated"]
    published = {row["name"]: row for row in facts["rows"] if not row["own"]}
    assert published["HSFace20K"]["differs"][:2] == [
        "backbone: depth 50, not 18; squeeze_excitation first_blocks, not none",
        "head: ArcFace, not cosface, scale 32, margin 0.2",
    ]
    assert "images seen" in published["HSFace20K"]["unstated"]
    sections = {section.title: section for section in comparison_document(facts, figure=None).sections}
    rows = {row[0]: row for row in sections["What differs from first"].rows}
    assert rows["same"][1] == "nothing that both state"
    assert rows["other"][1].startswith("backbone: depth 50, not 18; squeeze")
    done = CliRunner().invoke(evaluate, ["compare", *paths])
    assert "other differs from first in backbone: depth 50, not 18;" in done.output
    assert "silent differs from first in" in done.output


def test_harder_sets_have_columns_outside_the_average(tmp_path):
    ours = result(tmp_path / "a", "ours", dict.fromkeys(COLUMNS, 0.9) | {"SLLFW": 0.7, "Hadrian": 0.6})
    alone = compare(read_runs([ours]), published=False)
    assert alone["columns"] == [*COLUMNS, "Avg", "Hadrian", "SLLFW"]
    assert alone["rows"][0]["scores"]["Avg"] == pytest.approx(90.0)
    assert alone["any_size"] == ["Hadrian"]
    assert "any set of that name" in comparison_document(alone, figure=None).sections[0].notes[1]


def test_assumed_pixels_are_told_beside_the_row(tmp_path):
    ours = result(tmp_path / "a", "ours", {"LFW": 0.9})
    facts = json.loads((tmp_path / "a" / "result.json").read_text())
    facts["subject"]["contract_assumed"] = True
    (tmp_path / "a" / "result.json").write_text(json.dumps(facts))
    assert compare(read_runs([ours]), published=False)["rows"][0]["note"].startswith("its pixels are assumed")
    assert "ours: its pixels are assumed" in CliRunner().invoke(evaluate, ["compare", ours]).output


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
    assert "| UIFace | published \\[R] | - | 0.5M | 99.27 |" in markdown
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
