"""`vec2face embed` stores vectors that `vec2face audit --against` takes; mistakes end in one sentence."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from vec2face.errors import InputError
from vec2face.fileio.images import encode_image
from vec2face_cli.embed import embed


def run(*arguments):
    result = CliRunner().invoke(embed, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for person in ("ann", "bea"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        pixels = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
        (tmp_path / "photos" / person / "0.png").write_bytes(encode_image(pixels, format="png"))
    return tmp_path / "photos"


@pytest.mark.integration
def test_embeddings_are_stored_with_what_they_are(photos, tmp_path, tiny_embedder_dir):
    out = tmp_path / "embeddings"
    text = run(photos, "--out", out, "--embedder", tiny_embedder_dir).stdout
    assert "2 images of 2 people, vec2face-embedded-128, width 128" in text
    assert np.load(out / "vectors.npy").shape == (2, 2, 128)
    facts = json.loads((out / "embeddings.json").read_text())
    assert (facts["name"], facts["images"], facts["embedder"]["width"]) == ("photos", 2, 128)
    assert "nobody named" in run(photos, "--out", out, "--embedder", tiny_embedder_dir, "--people", "none").stdout


def test_a_folder_of_other_files_and_absent_faces_are_refused(photos, tmp_path, tiny_embedder_dir):
    with pytest.raises(InputError, match="holds other files"):
        run(photos, "--out", photos, "--embedder", tiny_embedder_dir)
    with pytest.raises(InputError, match="no file or folder"):
        run(tmp_path / "absent", "--out", tmp_path / "out", "--embedder", tiny_embedder_dir)
