"""`vec2face audit` and `vec2face evaluate`: parse, call, print; every mistake ends in one sentence."""

import json
import pickle

import numpy as np
import pytest
from click.testing import CliRunner

from vec2face.config.model_card import ModelCard, TrainingData, write_model_card
from vec2face.errors import ConfigError, DatasetError, InputError, WeightsError
from vec2face.fileio.images import encode_image
from vec2face_cli.audit import audit
from vec2face_cli.evaluate import evaluate


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def card(tmp_path):
    source = TrainingData(name="nothing", role="none", licence="none", consent="nobody is shown")
    write_model_card(tmp_path, ModelCard(name="patterns", licence="Apache-2.0", source="a test", data=(source,)))
    return tmp_path / "card.json"


@pytest.fixture
def verification_set(tmp_path):
    rng = np.random.default_rng(0)
    images = [encode_image(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8), format="png") for _ in range(40)]
    path = tmp_path / "noise.bin"
    path.write_bytes(pickle.dumps((images, [True, False] * 10)))
    return path


@pytest.mark.integration
def test_audit_prints_the_verdict_or_the_facts(tmp_path, build_dataset, tiny_embedder_dir, card):
    dataset = build_dataset(tmp_path / "data", identities=3, images=3)
    options = ("--embedder", tiny_embedder_dir, "--weights-card", card)
    text = run(audit, dataset, *options).stdout
    assert text.startswith("Audit: ")
    assert str(dataset / "report" / "report.html") in text
    facts = json.loads(run(audit, dataset, *options, "--images-per-identity", 2, "--json").stdout)
    assert facts["embedders"][0]["images"] == 6
    assert facts["settings"]["images_per_identity"] == 2


def test_audit_names_what_is_wrong(tmp_path, build_dataset, card):
    with pytest.raises(DatasetError, match="is not a dataset"):
        run(audit, tmp_path)
    dataset = build_dataset(tmp_path / "data", identities=2, images=2)
    with pytest.raises(WeightsError, match="nowhere"):
        run(audit, dataset, "--embedder", "nowhere", "--weights-card", card)
    with pytest.raises(InputError, match="model card"):
        run(audit, dataset, "--weights-card", tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="seed"):
        run(audit, dataset, "--seed", 2**70)
    assert "0 is not in the range" in run(audit, dataset, "--pairs", 0).stderr


@pytest.mark.integration
def test_verification_prints_the_figures_and_writes_json(tmp_path, tiny_embedder_dir, verification_set):
    target = tmp_path / "out.json"
    text = run(evaluate, "verification", tiny_embedder_dir, verification_set, "--json", target).stdout
    (values,) = json.loads(target.read_text())["sets"]
    assert values["pairs"] == 20
    assert len(values["accuracy"]["folds"]) == 10
    assert f"accuracy    {100 * values['accuracy']['mean']:.2f} +- " in text
    assert "too few pairs of different people to tell  at FAR 0.001" in text


def test_verification_refuses_bad_sets_before_loading_an_embedder(tmp_path, verification_set):
    with pytest.raises(InputError, match="No such file"):
        run(evaluate, "verification", "nowhere", tmp_path / "absent.bin")
    (tmp_path / "bad.bin").write_bytes(verification_set.read_bytes()[:1000])
    with pytest.raises(InputError, match="cut short"):
        run(evaluate, "verification", "nowhere", tmp_path / "bad.bin")
    with pytest.raises(WeightsError, match="nowhere"):
        run(evaluate, "verification", "nowhere", verification_set)
