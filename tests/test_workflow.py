"""A whole job with tiny networks: generate, audit, document."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from vec2face.config.audit import AuditOptions
from vec2face.config.generation import GenerateRecipe
from vec2face.config.model_card import ModelCard, TrainingData, write_model_card
from vec2face.errors import CardError, InputError
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
