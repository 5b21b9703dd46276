"""A recogniser's training with a validation set of real files."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor
from torch.nn import functional

from vec2face.config.recognition import RecognizerRecipe
from vec2face.contracts import InputContract
from vec2face.errors import InputError
from vec2face.fileio.images import encode_image
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.recognition import open_validation, run_recognizer_training


class Quiet:
    def training_step(self, images: int, total: int, images_per_second: float, losses: dict[str, float]) -> None: ...

    def training_note(self, text: str) -> None: ...


def face(seed: int) -> bytes:
    blocks = np.random.default_rng(seed).integers(40, 215, (7, 7, 3)).astype(np.uint8)
    return encode_image(blocks.repeat(16, 0).repeat(16, 1), format="jpeg", quality=95)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Ten pairs: in every other one, both images are the same."""
    images = [image for n in range(10) for image in (face(n), face(n if n % 2 else n + 100))]
    path = tmp_path / "pairs.bin"
    path.write_bytes(pickle.dumps((images, [bool(n % 2) for n in range(10)])))
    return path


class Blocks(FaceEmbedder):
    """The picture's own blocks as its embedding."""

    name, dim, contract = "blocks", 147, InputContract()

    def forward_contract(self, pixels: Tensor) -> Tensor:
        return functional.avg_pool2d(pixels, 16).flatten(1)


def test_equal_pictures_are_told_from_others(pairs: Path) -> None:
    found = open_validation(str(pairs))
    assert found.name == "pairs"
    assert found.accuracy(Blocks()) == 1.0


def test_a_training_reports_the_set_that_chose_its_weights(pairs: Path, tmp_path: Path) -> None:
    for person in range(3):
        for image in range(2):
            path = tmp_path / "faces" / str(person) / f"{image}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(face(person))
    recipe = RecognizerRecipe(
        name="tiny",
        network={"kind": "compact", "widths": [8, 8, 8, 8], "depths": [0, 0, 0, 0], "dim": 8},
        head={"kind": "cosface"},
        optimizer={"kind": "sgd"},
        schedule={"unit": "images", "length": 8, "batch_size": 4, "learning_rate": 0.01},
        keep="best",
        validation=str(pairs),
        run={"threads": 1, "precision": "float32", "preview_every": 1},
    )
    run_recognizer_training(recipe, data=[tmp_path / "faces"], out=tmp_path / "run", reporter=Quiet(), device="cpu")
    report = json.loads((tmp_path / "run" / "result.json").read_text())["validation"]
    assert report["digest"] == open_validation(str(pairs)).digest
    assert report["selected_the_weights"] is True
    assert report["accuracy_by_step"].keys() == {"1", "2"}
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert "held_out/accuracy" in journal


def test_a_set_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.bin"):
        open_validation(str(tmp_path / "no.bin"))
