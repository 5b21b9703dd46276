"""Audits of foreign sets and against real faces, from end to end."""

import csv
import json

import numpy as np
import pytest

from vec2face.cards import write_card, write_report
from vec2face.config.audit import AuditOptions
from vec2face.config.model_card import ModelCard, TrainingData, write_model_card
from vec2face.data.exclusions import read_exclusions
from vec2face.errors import ContractError, InputError
from vec2face.evaluation.audit import audit, check_real_faces
from vec2face.evaluation.face_sets import open_faces
from vec2face.evaluation.realism_section import FLATTERED
from vec2face.evaluation.sheets import DEFECTS, LEAKS, SHEET_KINDS, draw_sheet
from vec2face.evaluation.stored_faces import store_faces
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import read_tar
from vec2face.progress import SilentProgress

CARD = ModelCard(
    name="pattern-generator",
    licence="Apache-2.0",
    source="made for this test",
    data=(TrainingData(name="nobody", role="none", licence="none", consent="nobody is shown"),),
)


@pytest.fixture
def world(tmp_path, monkeypatch, pattern_embedders):
    for name in ("generator", "pattern"):
        (tmp_path / name).mkdir()
    write_model_card(tmp_path / "generator", CARD)
    places = {"pattern-generator": tmp_path / "generator", "pattern": tmp_path / "pattern"}
    monkeypatch.setattr("vec2face.evaluation.audit.Demographics.open", lambda options: None)
    monkeypatch.setattr("vec2face.evaluation.audit.load_embedder", pattern_embedders.__getitem__)
    for module in ("audit", "lineage"):
        monkeypatch.setattr(f"vec2face.evaluation.{module}.digest", lambda ref, *, kind: "0" * 64)
    for module in ("thresholds", "lineage"):
        monkeypatch.setattr(f"vec2face.evaluation.{module}.locate", lambda ref, *, kind: places[ref])
    return tmp_path


@pytest.fixture
def real(tmp_path):
    """Sixty people of a pattern each, as a folder."""
    rng = np.random.default_rng(5)
    for person in range(60):
        folder = tmp_path / "real" / f"real-{person:02d}"
        folder.mkdir(parents=True)
        pixels = rng.integers(60, 196, (4, 4, 3), dtype=np.uint8).repeat(28, 0).repeat(28, 1)
        (folder / "0.png").write_bytes(encode_image(pixels, format="png"))
    return tmp_path / "real"


def unpack(dataset, folder):
    """The images of a dataset as a folder of people."""
    for shard in sorted((dataset / "shards").glob("*.tar")):
        for name, data in read_tar(shard):
            if name.endswith(".jpg"):
                person, image = name.split("_")
                (folder / person).mkdir(parents=True, exist_ok=True)
                (folder / person / image).write_bytes(data)
    return folder


def test_a_folder_is_audited_like_a_dataset_and_left_alone(world, build_dataset):
    dataset = build_dataset(world / "data")
    folder = unpack(dataset, world / "folder")
    before = sorted(path.name for path in folder.rglob("*"))
    own = audit(dataset, AuditOptions(embedder="pattern"))
    facts = audit(folder, AuditOptions(embedder="pattern", out=world / "report"))
    assert facts == json.loads((world / "report" / "facts.json").read_text())
    assert sorted(path.name for path in folder.rglob("*")) == before
    mine, theirs = own["embedders"][0], facts["embedders"][0]
    for section in ("genuine", "impostor", "error_rates", "consistency", "diversity"):
        assert theirs[section] == mine[section], section
    assert theirs["separation"]["unique_at"] == mine["separation"]["unique_at"]
    assert theirs["generators_own_space"] is None
    assert theirs["to_vector"] is None
    assert facts["dataset"]["identities"] == 6
    assert facts["dataset"]["format"] == "image folder"
    assert facts["lineage"] == []
    assert all(facts[name] is None for name in ("failed_identities", "excluded", "kept", "dropped"))
    (check,) = [one for one in facts["checks"] if one["name"] == "independent embedder"]
    assert check["status"] == "warn"
    write_report(facts, world / "report" / "report.html")


def test_every_finding_stands_in_a_table_with_the_names_of_its_people(world, build_dataset, real, monkeypatch):
    folder = unpack(build_dataset(world / "data", identities=8), world / "folder")
    for person in list(folder.iterdir()):
        person.rename(folder / f"Some_Body_{int(person.name)}")
    sheets = {}

    def noting(rows, *, title, note=""):
        sheets[title] = [row.label for row in rows]
        return draw_sheet(rows, title=title, note=note)

    monkeypatch.setattr("vec2face.evaluation.defect_sheets.draw_sheet", noting)
    options = AuditOptions(embedder="pattern", against=(str(real),), leak_rate=1e-3, out=world / "report")
    facts = audit(folder, options)
    with open(world / "report" / "findings.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    counts = facts["findings"]["counts"]
    assert counts["poor image"] == 64  # patterns are; more than the facts list
    assert {kind: sum(row["kind"] == kind for row in rows) for kind in counts} == counts
    assert len(facts["findings"]["listed"]) == sum(min(50, count) for count in counts.values())
    poor = [row for row in rows if row["kind"] == "poor image"]
    assert {row["person"] for row in poor} == {f"Some_Body_{number}" for number in range(8)}
    assert all(row["images"].startswith(f"{row['person']}/") for row in poor)
    assert all(row["person"].endswith(f"_{row['identity']}") for row in poor)
    assert "0 Some_Body_0" in sheets["Poor images"][0]
    kinds = {figure["kind"] for figure in facts["figures"] if figure["file"].endswith(".jpg")}
    assert {DEFECTS, LEAKS} <= kinds <= set(SHEET_KINDS)
    first = sheets["Closest to real"][0].splitlines()
    assert "Some_Body_" in first[1]
    assert first[2].startswith("real-")
    write_report(facts, world / "report" / "report.html")
    assert "0 Some_Body_0" in (world / "report" / "report.html").read_text()


def test_a_real_face_in_a_dataset_is_named_shown_and_dropped(world, build_dataset, real):
    dataset = build_dataset(world / "data", identities=6, images=4)
    # The reference holds somebody whom the dataset shows, too.
    shown = unpack(dataset, world / "shown") / "0000004" / "0001.jpg"
    (real / "real-99").mkdir()
    (real / "real-99" / "0.jpg").write_bytes(shown.read_bytes())
    options = AuditOptions(embedder="pattern", against=(str(real),), leak_rate=1e-3)
    facts = audit(dataset, options)
    (leakage,) = facts["leakage"]
    assert (leakage["images"], leakage["people"]) == (61, 61)
    leaks = [one for one in facts["findings"]["listed"] if one["kind"] == "likeness of a real person"]
    assert leaks[0]["identities"] == [4]
    assert "real-99" in leaks[0]["reason"]
    (check,) = [one for one in facts["checks"] if one["name"] == "identities that resemble people of real"]
    assert check["status"] in ("warn", "fail")
    assert {"leaks-1.jpg", "leaks-1.png"} <= {figure["file"] for figure in facts["figures"]}
    write_card(facts, world / "card.md")
    write_report(facts, dataset / "report" / "report.html")
    card = (world / "card.md").read_text()
    assert "## Real people" in card
    assert "image to image" in card
    assert "was not measured" not in card
    failed = json.loads((dataset / "report" / "failed_identities.json").read_text())
    assert "likeness of a real person" in {one["identity"]: one["reasons"] for one in failed["identities"]}[4]
    assert read_exclusions(dataset) == {}
    dropped = audit(dataset, options.model_copy(update={"drop_leaks": True}))
    assert 4 in read_exclusions(dataset)
    assert dropped["excluded"] == dropped["dropped"] == len(read_exclusions(dataset))
    assert dropped["kept"] == {"identities": 6 - dropped["excluded"], "images": 4 * (6 - dropped["excluded"])}
    write_card(dropped, world / "card.md")
    assert "not removed from the archives" in (world / "card.md").read_text()
    left = audit(dataset, options)
    assert left["embedders"][0]["identities"] == 6 - dropped["excluded"]
    assert left["leakage"][0]["leaked"] == 0
    assert (left["dropped"], left["kept"]) == (0, dropped["kept"])


def test_realism_is_measured_by_an_embedder_that_took_no_part(world, build_dataset, real, monkeypatch):
    digests = {"pattern": "0" * 64, "pattern-generator": "0" * 64, "mixed": "2" * 64}
    monkeypatch.setattr("vec2face.evaluation.audit.digest", lambda ref, *, kind: digests[ref])
    monkeypatch.setattr("vec2face.evaluation.thresholds.locate", lambda ref, *, kind: world / "pattern")
    dataset = build_dataset(world / "data", identities=16, images=2)
    alone = AuditOptions(embedder="pattern", reference=real)
    facts = audit(dataset, alone)
    assert (facts["realism"]["reference"], facts["realism"]["embedder"]) == ("real", "pattern-48")
    assert facts["realism"]["size"] == 16
    assert facts["realism"]["warnings"][0] == FLATTERED
    write_card(facts, world / "card.md")
    assert "## Realism" in (world / "card.md").read_text()
    assert "- Measured by the embedder that the generator was made to satisfy" in (world / "card.md").read_text()
    both = audit(dataset, alone.model_copy(update={"second_embedder": "mixed"}))
    assert both["realism"]["embedder"] == "mixed-36"
    assert FLATTERED not in both["realism"]["warnings"]
    # Beside pictures of its own people a set is nearer than people are to each other, beside others farther.
    itself = audit(dataset, alone.model_copy(update={"reference": unpack(dataset, world / "shown")}))["realism"]
    assert itself["frechet"]["faces"]["mean"] < itself["frechet"]["real"]["mean"]
    assert facts["realism"]["frechet"]["faces"]["mean"] > facts["realism"]["frechet"]["real"]["mean"]


class Stages(SilentProgress):
    def __init__(self):
        self.seen = []

    def begin(self, stage, *, total, unit, done=0):
        self.seen.append(stage)


@pytest.fixture
def drawn(monkeypatch):
    """Title -> rows of each sheet of defects that is drawn."""
    sheets = {}

    def draw(rows, *, title, note):
        sheets[title] = rows
        return draw_sheet(rows, title=title, note=note)

    monkeypatch.setattr("vec2face.evaluation.defect_sheets.draw_sheet", draw)
    return sheets


def test_a_small_reference_is_told_not_to_be_enough_and_may_borrow_strangers(world, build_dataset, real, drawn):
    dataset = build_dataset(world / "data", identities=6, images=4)
    shown = unpack(dataset, world / "shown") / "0000004"
    small = world / "small" / "somebody"
    small.mkdir(parents=True)
    for name in ("0001.jpg", "0002.jpg"):
        (small / name).write_bytes((shown / name).read_bytes())
    options = AuditOptions(embedder="pattern", against=(str(world / "small"),))
    facts = audit(dataset, options)
    (leakage,) = facts["leakage"]
    assert (leakage["leaked"], leakage["comparisons"][0]["threshold"]) == (None, None)
    assert leakage["comparisons"][0]["closest"][0]["identity"] == 4
    rows = [row.label.split("\n") for row in drawn["Closest to small"]]
    assert {row[0] for row in rows} == {"image to image", "image to centre", "centre to centre"}
    assert {row[-1] for row in rows} == {"no limit"}
    (check,) = [one for one in facts["checks"] if one["name"] == "identities that resemble people of small"]
    assert (check["status"], check["value"]) == ("warn", None)
    assert check["reason"].startswith("not measured: a limit needs 1,000 comparisons of different people")
    for write, path in ((write_card, world / "card.md"), (write_report, dataset / "report" / "report.html")):
        write(facts, path)
        assert "a limit needs 1,000 comparisons of different people" in path.read_text()
    drop = options.model_copy(update={"drop_leaks": True})
    with pytest.raises(InputError, match=r"nobody can be dropped: a limit needs .* give a larger reference"):
        audit(dataset, drop)
    assert read_exclusions(dataset) == {}
    borrowed = audit(dataset, drop.model_copy(update={"strangers": str(real), "leak_rate": 1e-3}))
    (leakage,) = borrowed["leakage"]
    assert (leakage["no_limit"], leakage["strangers"]) == (None, "real")
    assert leakage["comparisons"][0]["strangers"]["images"] == 60
    assert 4 in read_exclusions(dataset)
    with pytest.raises(InputError, match="name those with --against, too"):
        audit(dataset, AuditOptions(embedder="pattern", strangers=str(real)))


def test_what_stored_embeddings_show_to_be_wrong_is_told_before_anything_is_embedded(world, build_dataset):
    dataset = build_dataset(world / "data", identities=2, images=2)
    vectors = np.random.default_rng(0).standard_normal((40, 48)).astype(np.float32)
    broken, empty, one_sided = vectors.copy(), vectors.copy(), np.stack([vectors, vectors], axis=1)
    broken[3, 5], empty[4], one_sided[5, 0] = np.nan, 0, 0
    cases = {
        "width": (vectors[:, :40], "width 40, but those of pattern-48 have 48"),
        "nan": (broken, "NaN or infinity in 1 of 40 rows"),
        "zeros": (empty, "row 4 is all zeros"),
        "plain": (one_sided, "row 5 is all zeros, or not finite"),
        "whole": (np.ones((40, 48), np.int64), "embeddings are floating numbers"),
        "few": (vectors[:5], "nobody can be dropped: a limit needs"),
    }
    for name, (array, words) in cases.items():
        np.save(world / f"{name}.npy", array)
        stages = Stages()
        options = AuditOptions(embedder="pattern", against=(str(world / f"{name}.npy"),), drop_leaks=True)
        with pytest.raises((InputError, ContractError), match=words):
            audit(dataset, options, progress=stages)
        assert stages.seen == [], name
        with pytest.raises((InputError, ContractError), match=words):
            check_real_faces(options)
    (world / "torn.npy").write_bytes((world / "few.npy").read_bytes()[:100])
    with pytest.raises(InputError, match=r"not a readable \.npy"):
        check_real_faces(AuditOptions(embedder="pattern", against=(str(world / "torn.npy"),)))
    assert not (dataset / "report").exists()


def test_leaks_are_dropped_only_where_there_are_some_to_look_for(world, build_dataset, real):
    dataset = build_dataset(world / "data", identities=2, images=2)
    with pytest.raises(InputError, match="named by --against"):
        audit(dataset, AuditOptions(embedder="pattern", drop_leaks=True))
    with pytest.raises(InputError, match="from a dataset of this toolkit"):
        audit(real, AuditOptions(embedder="pattern", drop_leaks=True, against=(str(real),), out=world / "out"))


def test_stored_vectors_are_compared_by_the_embedder_that_made_them(
    world, build_dataset, real, pattern_embedders, monkeypatch, drawn
):
    digests = {"pattern": "0" * 64, "pattern-generator": "0" * 64, "mixed": "2" * 64}
    monkeypatch.setattr("vec2face.evaluation.audit.digest", lambda ref, *, kind: digests[ref])
    monkeypatch.setattr("vec2face.evaluation.thresholds.locate", lambda ref, *, kind: world / "pattern")
    for reference in ("pattern", "mixed"):
        store_faces(
            open_faces(str(real), report=world / reference / "stored"),
            pattern_embedders[reference],
            sha256=digests[reference],
            folder=world / reference / "stored",
            name=f"by {reference}",
            batch_size=32,
            progress=SilentProgress(),
        )
    stored = tuple(str(world / reference / "stored") for reference in ("mixed", "pattern"))
    dataset = build_dataset(world / "data", identities=3, images=2)
    options = AuditOptions(embedder="pattern", second_embedder="mixed", against=stored, leak_rate=1e-3)
    facts = audit(dataset, options)
    assert [one["embedder"]["name"] for one in facts["leakage"]] == ["mixed-36", pattern_embedders["pattern"].name]
    checks = {one["name"]: one["embedder"] for one in facts["checks"] if "resemble" in one["name"]}
    assert checks["identities that resemble people of by mixed"] == "mixed-36"
    assert facts["leakage"][0]["comparisons"][0]["nearest"] != facts["leakage"][1]["comparisons"][0]["nearest"]
    # The pictures are elsewhere; the dataset's side is shown with the names.
    assert {"leaks-1.jpg", "leaks-2.jpg"} <= {figure["file"] for figure in facts["figures"]}
    assert all(row.captions[0].startswith("real-") and not row.split for row in drawn["Closest to by mixed"])
    captions = [figure["caption"] for figure in facts["figures"] if figure["kind"] == "leaks"]
    assert all("its picture is not here" in caption for caption in captions)
    stages = Stages()
    with pytest.raises(ContractError, match="holds vectors of mixed-36"):
        audit(dataset, options.model_copy(update={"second_embedder": None}), progress=stages)
    assert stages.seen == []
