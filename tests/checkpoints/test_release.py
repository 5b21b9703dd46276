"""A released folder holds the same network at half the size, with its card."""

import json
from pathlib import Path

import pytest
import torch

from vec2face.checkpoints import load_embedder
from vec2face.checkpoints.release import release
from vec2face.config.model_card import ModelCard, TrainingData, read_model_card, write_model_card
from vec2face.errors import InputError, WeightsError
from vec2face.models.embedders.compact import CompactEmbedder

CARD = ModelCard(
    name="tiny",
    licence="for tests",
    source="a test",
    data=(TrainingData(name="noise", role="training images", licence="none needed", consent="nobody is shown"),),
)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    CompactEmbedder(name="tiny", dim=8, widths=(8, 8, 8, 8), depths=(0, 1, 0, 0)).save_pretrained(tmp_path / "run")
    write_model_card(tmp_path, CARD)
    return tmp_path / "run"


def test_a_released_network_computes_what_the_trained_one_does(trained: Path, tmp_path: Path):
    (tmp_path / "points.json").write_text('{"fmr_1e-4": 0.42}')
    release(trained, tmp_path / "out", card=tmp_path / "card.json", operating_points=tmp_path / "points.json")
    images = torch.rand(2, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        before, after = load_embedder(str(trained)).embed(images), load_embedder(str(tmp_path / "out")).embed(images)
    assert torch.allclose(before, after, rtol=0.01, atol=0.01)
    weights = "diffusion_pytorch_model.safetensors"
    assert (tmp_path / "out" / weights).stat().st_size < 0.6 * (trained / weights).stat().st_size
    assert read_model_card(tmp_path / "out" / "card.json") == CARD
    assert json.loads((tmp_path / "out" / "operating_points.json").read_text()) == {"fmr_1e-4": 0.42}


def test_what_cannot_be_shipped_is_refused(trained: Path, tmp_path: Path):
    with pytest.raises(InputError, match="cannot read the model card"):
        release(trained, tmp_path / "out", card=tmp_path / "missing.json")
    (tmp_path / "points.json").write_text('{"fmr_1e-4": 42}')
    with pytest.raises(InputError, match=r"cosine thresholds in \[-1, 1\]"):
        release(trained, tmp_path / "out", card=tmp_path / "card.json", operating_points=tmp_path / "points.json")
    (tmp_path / "out").mkdir()
    with pytest.raises(WeightsError, match="exists already"):
        release(trained, tmp_path / "out", card=tmp_path / "card.json")
