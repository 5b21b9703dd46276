"""A whole job with tiny networks: generate, audit, document."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from vec2face.config.audit import AuditOptions
from vec2face.config.generation import GenerateRecipe
from vec2face.config.model_card import ModelCard, TrainingData, write_model_card
from vec2face.data.exclusions import exclude
from vec2face.errors import CardError, ContractError, InputError
from vec2face.evaluation.failures import read_failed
from vec2face.evaluation.findings import LEAK
from vec2face.generation.verify import verify
from vec2face.identities.sources import PcaSource
from vec2face.progress import SilentProgress
from vec2face.workflow import audit_dataset, make_dataset

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def generator(tmp_path_factory, tiny_generator_dir):
    folder = tmp_path_factory.mktemp("carded") / "generator"
    shutil.copytree(tiny_generator_dir, folder)
    source = TrainingData(name="nothing", role="random weights", licence="none", consent="nobody is shown")
    write_model_card(folder, ModelCard(name="tiny", licence="Apache-2.0", source="this test", data=(source,)))
    return folder


@pytest.fixture(scope="module")
def recipe(generator):
    return GenerateRecipe.model_validate(
        {
            "name": "tiny faces",
            "weights": str(generator),
            "identities": {"source": "gaussian", "standard_deviation": 1.0, "count": 3, "ceiling": 0.9},
            "images_per_identity": 3,
            "shards": {"identities_per_shard": 2},
        }
    )


@pytest.fixture(scope="module")
def options(tiny_embedder_dir):
    return AuditOptions(embedder=str(tiny_embedder_dir))


@pytest.fixture(scope="module")
def made(tmp_path_factory, recipe, options):
    out = tmp_path_factory.mktemp("made") / "faces"
    return out, make_dataset(recipe, out, workers=1, audit_options=options)


def test_a_dataset_comes_with_its_report_and_card(made):
    out, summary = made
    assert summary.generation.images == 9
    assert summary.audit.facts == json.loads((out / "report" / "facts.json").read_text())
    assert "tiny faces" in summary.audit.report.read_text()
    assert summary.audit.card.read_text().startswith("---\npretty_name: ")
    assert summary.audit.facts["dataset"]["generator"]["sha256"] == summary.audit.facts["lineage"][0]["sha256"]
    assert "9 images of 3 identities (9 rendered in" in summary.sentence
    assert f"Audit: {summary.audit.verdict}" in summary.sentence
    rows = pq.read_table(out / "metadata.parquet").to_pylist()
    # The embedder is the one of the generator's feature space, so fidelity to the vectors is measured.
    assert all(-1 <= row["cosine_to_vector"] <= 1 for row in rows)


def test_making_it_again_renders_nothing_and_states_the_same_facts(made, recipe, options):
    out, summary = made
    again = make_dataset(recipe, out, workers=1, audit_options=options)
    assert again.generation.was_complete
    assert again.audit.facts == summary.audit.facts
    assert "nothing was left to render" in again.sentence


def test_without_an_audit_there_is_no_report(tmp_path, recipe):
    summary = make_dataset(recipe, tmp_path / "faces", workers=1, audit=False)
    assert summary.audit is None
    assert "Audit" not in summary.sentence
    assert not (tmp_path / "faces" / "report").exists()


def test_a_generator_without_a_card_is_refused_before_anything_is_rendered(tmp_path, recipe, tiny_generator_dir):
    bare = recipe.model_copy(update={"weights": str(tiny_generator_dir)})
    with pytest.raises(InputError, match="the data and terms behind it are unknown"):
        make_dataset(bare, tmp_path / "faces", workers=1)
    assert not (tmp_path / "faces" / "shards").exists()


def test_facts_stay_when_a_document_cannot_be_written(made, options, monkeypatch):
    out, _ = made

    def refuse(facts, path):
        raise CardError("the fact 'x' is missing")

    (out / "report" / "facts.json").unlink()
    monkeypatch.setattr("vec2face.workflow.write_report", refuse)
    with pytest.raises(CardError):
        audit_dataset(out, options)
    assert json.loads((out / "report" / "facts.json").read_text())["dataset"]["images"] == 9


def test_terms_that_are_unknown_are_told_before_identities_are_sampled(tmp_path, tiny_generator_dir, recipe):
    seen = []

    class Stages(SilentProgress):
        def begin(self, stage, *, total, unit, done=0):
            seen.append(stage)

    uncarded = recipe.model_copy(update={"weights": str(tiny_generator_dir)})
    with pytest.raises(InputError, match="give one with --weights-card"):
        make_dataset(uncarded, tmp_path / "d", workers=1, progress=Stages())
    assert seen == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def twin_recipe(tmp_path_factory):
    """Four people by the embedded weights, the third a copy of the first, and eight more in reserve."""
    vectors = PcaSource().candidates(1, 0, 12).copy()
    vectors[2] = vectors[0] * 1.0001
    path = tmp_path_factory.mktemp("twins") / "bank.npy"
    np.save(path, vectors)
    return GenerateRecipe.model_validate(
        {
            "name": "twins",
            "identities": {"bank": str(path), "count": 4},
            "images_per_identity": 4,
            "variation": {"mixture": [{"sigma": 0.3, "share": 1}]},
            "shards": {"identities_per_shard": 2},
        }
    )


@pytest.fixture(scope="module")
def repaired_faces(tmp_path_factory, twin_recipe):
    out = tmp_path_factory.mktemp("repaired") / "faces"
    return out, make_dataset(twin_recipe, out, workers=1, repair_rounds=2)


def test_a_double_is_replaced_until_nobody_fails_or_the_cap_is_met(repaired_faces):
    out, summary = repaired_faces
    rounds = json.loads((out / "dataset.json").read_text())["repairs"]
    first = {part["identity"]: part["reasons"] for part in rounds[0]["replaced"]}
    assert first[2][0] == "not unique"
    assert 0 not in first
    left = json.loads((out / "report" / "failed_identities.json").read_text())["identities"]
    assert 2 not in {entry["identity"] for entry in left if "not unique" in entry["reasons"]}
    assert summary.repair.failing == len(left)
    assert not left or len(rounds) == 2
    assert f"replaced in {len(rounds)} round{'' if len(rounds) == 1 else 's'}" in summary.repair.sentence
    assert summary.repair.sentence in summary.sentence
    assert verify(out).whole
    facts = json.loads((out / "report" / "facts.json").read_text())
    assert facts["dataset"]["repairs"]["rounds"] == len(rounds)
    assert "drawn again" in summary.audit.card.read_text()
    assert "drawn again" in summary.audit.report.read_text()
    rows = pq.read_table(out / "metadata.parquet").to_pylist()
    assert {row["identity_name"] for row in rows if row["identity"] == 2} != {"0000002"}
    assert all(row["audit_status"] for row in rows)


def test_a_repair_is_recorded_and_a_second_run_changes_nothing(repaired_faces, twin_recipe):
    out, summary = repaired_faces
    before = {path: path.read_bytes() for path in sorted((out / "shards").iterdir())}
    again = make_dataset(twin_recipe, out, workers=1, repair_rounds=2)
    assert again.generation.was_complete
    assert again.repair.rounds == summary.repair.rounds
    assert {path: path.read_bytes() for path in sorted((out / "shards").iterdir())} == before


def test_a_repair_compares_with_the_real_faces_of_the_audit_before(tmp_path, recipe, options):
    out, real = tmp_path / "faces", tmp_path / "real.npy"
    make_dataset(recipe, out, workers=1, audit_options=options)
    own = np.load(next((out / "report" / "cache").glob("*/vectors.npy")))
    strangers = np.random.default_rng(0).standard_normal((40, own.shape[1])).astype(np.float32)
    np.save(real, np.concatenate([strangers, own[:1]]))
    audit_dataset(out, options.model_copy(update={"against": (str(real),), "leak_rate": 1e-3}))
    reasons = {one["identity"]: one["reasons"] for one in read_failed(out / "report")["identities"]}
    assert LEAK in reasons[0]
    audit_dataset(out, options)  # an audit that compares with nobody does not forget whom another one compared with
    repaired = make_dataset(recipe, out, workers=1, audit_options=options, repair_rounds=1)
    assert LEAK in {reason for part in repaired.repair.rounds[0].replaced for reason in part.reasons}
    assert repaired.audit.facts["leakage"][0]["reference"] == "real.npy"
    assert repaired.audit.facts["settings"]["leak_rate"] == 1e-3
    assert "## Real people" in repaired.audit.card.read_text()
    assert repaired.repair.against == ("real.npy",)

    real.unlink()
    exclude(out, {1: LEAK})
    audit_dataset(out, options)
    before = (out / "dataset.json").read_bytes()
    with pytest.raises(InputError, match=r"name them with --against \(those of .* cannot be used: .*real\.npy\)\.$"):
        make_dataset(recipe, out, workers=1, audit_options=options, repair_rounds=2)
    # Nothing is known of the real faces at all.
    failed = json.loads((out / "report" / "failed_identities.json").read_text())
    (out / "report" / "failed_identities.json").write_text(json.dumps({**failed, "real_faces": None}))
    with pytest.raises(InputError, match=r"name them with --against\.$"):
        make_dataset(recipe, out, workers=1, audit_options=options, repair_rounds=2)
    assert (out / "dataset.json").read_bytes() == before


def test_real_faces_that_cannot_be_compared_are_told_before_anything_is_rendered(tmp_path, recipe, options):
    np.save(tmp_path / "real.npy", np.ones((5, 3), np.float32))
    with pytest.raises(ContractError, match="width 3"):
        make_dataset(
            recipe,
            tmp_path / "faces",
            audit_options=options.model_copy(update={"against": (str(tmp_path / "real.npy"),)}),
        )
    assert not (tmp_path / "faces").exists()


def test_a_repair_without_an_audit_is_refused_before_anything_is_made(tmp_path, recipe):
    with pytest.raises(InputError, match="leave the audit on"):
        make_dataset(recipe, tmp_path / "faces", audit=False, repair_rounds=1)
    assert not (tmp_path / "faces").exists()


def test_a_steered_dataset_is_audited_with_what_was_asked(tmp_path, generator, tiny_embedder_dir, options):
    steering = {
        "embedder": str(tiny_embedder_dir),
        "identity_floor": -1,
        "batch_size": 3,
        "direction_pictures": 0,
        "max_evaluations": 3,
    }
    values = {
        "weights": str(generator),
        "identities": {"source": "gaussian", "standard_deviation": 1.0, "count": 2, "ceiling": 0.9},
        "images_per_identity": 3,
        "attributes": {"brightness": "uniform[127, 129]", "contrast": ">=100"},
        "steering": steering,
    }
    out = tmp_path / "faces"
    summary = make_dataset(GenerateRecipe.model_validate(values), out, workers=1, audit_options=options)
    facts = summary.audit.facts["steering"]
    assert facts["statuses"] == {"converged": 0, "capped": 6, "rejected": 0}
    assert [one["asked"] for one in facts["attributes"]] == ["uniform[127, 129]", ">=100"]
    assert facts["attributes"][1]["bins"] == [{"interval": ">=100", "asked": 1.0, "measured": 0.0}]
    assert "Steering: 0 converged, 6 capped, 0 rejected.\nAudit: " in summary.sentence
    assert "## Attributes asked for and measured" in summary.audit.card.read_text()
    assert (out / "report" / "attribute-1.png").is_file()
