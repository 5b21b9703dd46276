"""The audit of small datasets whose right answers are known."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vec2face.config.audit import AuditOptions
from vec2face.config.model_card import ModelCard, TrainingData, write_model_card
from vec2face.errors import DatasetError, InputError
from vec2face.evaluation.audit import audit
from vec2face.evaluation.dataset import DatasetReader
from vec2face.fileio.atomic import write_json

CARD = ModelCard(
    name="pattern-generator",
    licence="Apache-2.0",
    source="made for this test",
    data=(TrainingData(name="nobody", role="none", licence="none", consent="nobody is shown"),),
)


class Stages:
    """Notes what is reported; can stop the work at a stage."""

    def __init__(self, stop_after=None):
        self.seen, self.stop_after, self.count = [], stop_after, 0

    def begin(self, stage, *, total, unit, done=0):
        self.seen.append((stage, total, done))

    def advance(self, amount, *, note=""):
        self.count += amount
        if self.stop_after is not None and self.count > self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def world(tmp_path, monkeypatch, pattern_embedders):
    """References "pattern" and "mixed" lead to embedders, "pattern-generator" to a folder with a model card."""
    monkeypatch.setattr("vec2face.evaluation.verdict.PICTURES", ())  # patterns are poor pictures, and much alike
    generator = tmp_path / "generator"
    generator.mkdir()
    write_model_card(generator, CARD)
    (tmp_path / "pattern").mkdir()
    (tmp_path / "mixed").mkdir()
    places = {"pattern-generator": generator, "pattern": tmp_path / "pattern", "mixed": tmp_path / "mixed"}
    digests = {"pattern-generator": "0" * 64, "pattern": "1" * 64, "mixed": "2" * 64}
    monkeypatch.setattr("vec2face.evaluation.audit.Demographics.open", lambda options: None)
    monkeypatch.setattr("vec2face.evaluation.audit.load_embedder", pattern_embedders.__getitem__)
    for module in ("audit", "lineage"):
        monkeypatch.setattr(f"vec2face.evaluation.{module}.digest", lambda ref, *, kind: digests[ref])
    for module in ("thresholds", "lineage"):
        monkeypatch.setattr(f"vec2face.evaluation.{module}.locate", lambda ref, *, kind: places[ref])
    return tmp_path


def test_a_good_dataset(world, build_dataset):
    dataset = build_dataset(world / "data", identities=6, images=8)
    facts = audit(dataset, AuditOptions(embedder="pattern", second_embedder="mixed"))
    assert facts == json.loads((dataset / "report" / "facts.json").read_text())
    assert facts["verdict"] == "pass", [check for check in facts["checks"] if check["status"] != "pass"]
    assert facts["dataset"]["images"] == 48
    assert facts["dataset"]["images_per_identity"] == {"min": 8, "mean": 8.0, "max": 8}
    assert facts["lineage"][0]["data"][0]["consent"] == "nobody is shown"
    own, other = facts["embedders"]
    assert (own["generators_own_space"], other["generators_own_space"]) == (True, False)
    assert own["to_vector"]["nearest_is_own_share"] == 1.0
    assert [row["sigma"] for row in own["to_vector"]["by_sigma"]] == [0.3, 0.5]
    assert own["to_vector"]["by_sigma"][0]["mean"] > own["to_vector"]["by_sigma"][1]["mean"]
    assert other["to_vector"] is None
    assert own["genuine"]["count"] == own["genuine"]["total"] == 6 * 28
    assert own["impostor"]["total"] == 48 * 47 // 2 - 6 * 28
    assert own["separation"]["unique"] == 6
    assert own["separation"]["unique_at"] == {"0.3": 6, "0.4": 6}
    units = own["diversity"]
    assert units["count"] == 6
    assert units["mean"] == pytest.approx(1 - own["genuine"]["mean"], abs=1e-5)
    assert own["threshold"]["value"] == 0.4
    assert "convention" in own["threshold"]["source"]
    for figure in facts["figures"]:
        image = Image.open(dataset / "report" / figure["file"])
        assert min(image.size) > 100
    kinds = [figure["kind"] for figure in facts["figures"] if figure["kind"] != "defects"]
    assert kinds == ["people", "person", "worst", "closest", "scores", "vectors", "scores"]


def test_measured_columns_stand_beside_the_others(world, build_dataset, pattern_embedders):
    dataset = build_dataset(world / "data", rejected=True)
    before = pq.read_table(dataset / "metadata.parquet")
    facts = audit(dataset, AuditOptions(embedder="pattern", images_per_identity=5))
    audit(dataset, AuditOptions(embedder="pattern", images_per_identity=5))  # again: columns are replaced, not added
    after = pq.read_table(dataset / "metadata.parquet")
    assert after.select(before.column_names).equals(before)
    added = ["cosine_to_vector", "cosine_to_centre", "nearest_identity", "audit_status"]
    assert after.column_names == [*before.column_names, *added]
    rows = after.to_pylist()
    assert rows[0]["status"] != "kept"
    for row in rows:
        if row["image"] >= 5 or row["status"] != "kept":
            assert [row[name] for name in added] == [None, None, None, "not measured"]
        else:
            assert row["nearest_identity"] == row["identity"]
            assert row["audit_status"] == "consistent"
            assert 0.7 < row["cosine_to_vector"] <= 1
    mean = np.mean([row["cosine_to_vector"] for row in rows if row["cosine_to_vector"] is not None])
    assert facts["embedders"][0]["to_vector"]["mean"] == pytest.approx(mean, abs=1e-6)
    assert facts["embedders"][0]["images"] == 29
    assert facts["dataset"]["rejects"] == 1
    assert facts["dataset"]["images_per_identity"]["min"] == 7


def test_twins_and_noise_fail_the_checks_that_name_them(world, build_dataset):
    facts = audit(build_dataset(world / "twins", twins=True), AuditOptions(embedder="mixed"))
    found = {check["name"]: check["status"] for check in facts["checks"]}
    assert found["images nearest to their own identity"] == "fail"
    assert found["identities that are unique"] == "warn"
    closest = facts["embedders"][0]["separation"]["closest"][0]
    assert closest["identities"] == [0, 1]
    assert closest["cosine"] > 0.95
    assert facts["verdict"] == "fail"
    noisy = audit(build_dataset(world / "noisy", noise=12.0), AuditOptions(embedder="mixed"))
    found = {check["name"]: check["status"] for check in noisy["checks"]}
    assert found["images consistent with their identity"] == "fail"
    assert found["equal error rate of image pairs"] == "fail"


def test_the_generators_own_embedder_alone_is_not_enough_for_a_pass(world, build_dataset):
    facts = audit(build_dataset(world / "data"), AuditOptions(embedder="pattern"))
    assert facts["verdict"] == "warn"
    assert [check["name"] for check in facts["checks"] if check["status"] == "warn"] == ["independent embedder"]


@pytest.mark.parametrize(("identities", "images"), [(1, 4), (3, 1), (1, 1)])
def test_what_cannot_be_measured_is_said_to_be_so(world, build_dataset, identities, images):
    facts = audit(build_dataset(world / "data", identities=identities, images=images), AuditOptions(embedder="mixed"))
    view = facts["embedders"][0]
    assert view["error_rates"] is None
    assert (view["consistency"] is None) == (images == 1)
    assert (view["separation"] is None) == (identities == 1)
    assert facts["verdict"] == "warn"
    assert any("not measured" in check["reason"] for check in facts["checks"])


def test_a_stopped_audit_goes_on_and_ends_with_the_same_facts(world, build_dataset):
    dataset = build_dataset(world / "data", identities=10)
    whole = audit(build_dataset(world / "other", identities=10), AuditOptions(embedder="mixed"))
    with pytest.raises(KeyboardInterrupt):
        audit(dataset, AuditOptions(embedder="mixed"), progress=Stages(stop_after=40))
    stages = Stages()
    resumed = audit(dataset, AuditOptions(embedder="mixed"), progress=stages)
    assert stages.seen[0] == ("embedding with mixed-36", 80, 32)
    assert resumed == whole
    done = Stages()
    audit(dataset, AuditOptions(embedder="mixed"), progress=done)
    assert done.seen[0] == ("embedding with mixed-36", 80, 80)


def test_samples_stand_for_the_whole_under_a_seed(world, build_dataset):
    dataset = build_dataset(world / "data")
    few = AuditOptions(embedder="mixed", pairs=60, comparisons=6 * 20, seed=3)
    facts = audit(dataset, few)
    view = facts["embedders"][0]
    assert (view["genuine"]["count"], view["genuine"]["exact"]) == (60, False)
    assert (view["impostor"]["count"], view["impostor"]["exact"]) == (60, False)
    assert view["separation"]["images_compared"] == 20
    assert facts == audit(dataset, few)
    assert facts["settings"]["seed"] == 3


def test_the_embedders_own_threshold_is_used(world, build_dataset):
    (world / "mixed" / "operating_points.json").write_text('{"fmr_1e-4": 0.55}')
    facts = audit(build_dataset(world / "data"), AuditOptions(embedder="mixed"))
    assert facts["embedders"][0]["threshold"]["value"] == 0.55
    (world / "mixed" / "operating_points.json").write_text('{"fmr_1e-4": 7}')
    with pytest.raises(InputError, match="7 is not a cosine"):
        audit(world / "data", AuditOptions(embedder="mixed"))


def test_an_unusable_dataset_is_refused_before_any_work(world, build_dataset):
    with pytest.raises(DatasetError, match="not a dataset"):
        audit(world / "absent", AuditOptions(embedder="mixed"))
    dataset = build_dataset(world / "data")
    table = (dataset / "metadata.parquet").read_bytes()
    (dataset / "metadata.parquet").unlink()
    with pytest.raises(DatasetError, match=r"metadata\.parquet is missing; run `vec2face generate`"):
        audit(dataset, AuditOptions(embedder="mixed"))
    (dataset / "metadata.parquet").write_bytes(table[: len(table) // 2])
    with pytest.raises(DatasetError, match="is damaged"):
        audit(dataset, AuditOptions(embedder="mixed"))
    (dataset / "metadata.parquet").write_bytes(table)
    (dataset / "shards" / "000001.json").unlink()
    with pytest.raises(DatasetError, match=r"000001\.tar has no manifest"):
        audit(dataset, AuditOptions(embedder="mixed"))
    (dataset / "shards" / "000001.tar").unlink()
    with pytest.raises(DatasetError, match="1 of 2 shards"):
        audit(dataset, AuditOptions(embedder="mixed"))


def test_a_damaged_shard_is_named(world, build_dataset):
    dataset = build_dataset(world / "data")
    shard = dataset / "shards" / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(DatasetError, match=r"000001\.tar.*vec2face verify"):
        audit(dataset, AuditOptions(embedder="mixed"))


def test_lineage_must_be_known_and_must_be_that_of_the_weights_used(world, build_dataset, monkeypatch):
    dataset = build_dataset(world / "data")
    with pytest.raises(InputError, match="the second embedder 'mixed' is the same"):
        audit(dataset, AuditOptions(embedder="mixed", second_embedder="mixed"))
    card = world / "generator" / "card.json"
    kept = card.rename(world / "kept.json")
    with pytest.raises(InputError, match=r"has no .*card\.json"):
        audit(dataset, AuditOptions(embedder="mixed"))
    monkeypatch.setattr("vec2face.evaluation.lineage.digest", lambda ref, *, kind: "f" * 64)
    with pytest.raises(DatasetError, match="leads to others"):
        audit(dataset, AuditOptions(embedder="mixed"))
    facts = audit(dataset, AuditOptions(embedder="mixed", weights_card=kept))
    assert facts["lineage"][0]["licence"] == "Apache-2.0"
    kept.write_text('{"name": "x", "licence": ""}')
    with pytest.raises(InputError, match=r"licence.*source.*data"):
        audit(dataset, AuditOptions(embedder="mixed", weights_card=kept))


def test_what_is_no_whole_dataset_is_refused_with_what_to_do(tmp_path, build_dataset):
    with pytest.raises(DatasetError, match="nothing is not a dataset: there is no such folder"):
        DatasetReader(tmp_path / "nothing")
    with pytest.raises(DatasetError, match=r"is not a dataset: it has no dataset\.json"):
        DatasetReader(tmp_path)
    dataset = build_dataset(tmp_path / "data")
    extra = dataset / "shards" / "000777.tar"
    extra.write_bytes((dataset / "shards" / "000000.tar").read_bytes())
    with pytest.raises(DatasetError, match=r"000777\.tar is not part of the dataset, which has .* move it elsewhere"):
        DatasetReader(dataset)
    extra.unlink()
    for manifest in (dataset / "shards").glob("*.json"):
        write_json(manifest, {**json.loads(manifest.read_text()), "count": 0, "rejects": 5})
    with pytest.raises(DatasetError, match=r"holds no images: all .* were rejected while generating"):
        DatasetReader(dataset)


def test_an_audit_leaves_no_figure_of_an_earlier_one(world, build_dataset):
    dataset = build_dataset(world / "data")
    audit(dataset, AuditOptions(embedder="pattern", second_embedder="mixed"))
    assert (dataset / "report" / "second-scores.png").exists()
    facts = audit(dataset, AuditOptions(embedder="mixed"))
    drawn = {figure["file"] for figure in facts["figures"]}
    assert {path.name for path in (dataset / "report").iterdir() if path.suffix in (".png", ".jpg")} == drawn
