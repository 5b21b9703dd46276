"""Where commands take URLs they read them, and where they do not they say so instead of making folders of that name."""

from pathlib import Path

import numpy as np
import pytest

from tests.commands import mistake, run
from vec2face.evaluation.bin_files import write_bin
from vec2face.evaluation.pair_lists import NamedPair
from vec2face.evaluation.verification_sets import open_verification_set
from vec2face.fileio.atomic import write_bytes
from vec2face.fileio.images import encode_image
from vec2face.fileio.remote import RemotePath
from vec2face.identities import IdentityBank

RNG = np.random.default_rng(0)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemotePath:
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    return RemotePath(f"memory://{tmp_path.name}")


def face() -> bytes:
    return encode_image(RNG.integers(0, 256, (112, 112, 3), np.uint8), format="png")


def test_a_bank_behind_a_url_is_inspected_sampled_from_and_rendered(
    place: RemotePath, tiny_generator_dir: Path, tmp_path: Path
) -> None:
    url = place / "bank.safetensors"
    vectors = RNG.standard_normal((6, 128)).astype(np.float32)
    IdentityBank(vectors, tuple("abcdef"), {}).save(url)
    assert "identities       6" in run("identities", "inspect", url).stdout
    taken = run("identities", "sample", "--source", "file", "--file", url, "--count", 2, "--out", tmp_path / "two.npy")
    assert taken.exit_code == 0, taken.output
    made = ("generate", "--weights", tiny_generator_dir, "--images-per-identity", 1, "--workers", 1, "--audit", "none")
    done = run(*made, "--bank", url, "--out", tmp_path / "faces")
    assert done.exit_code == 0, done.output
    again = run(*made, "--bank", url, "--out", tmp_path / "faces")
    assert "nothing was left to render" in again.stdout
    assert "there is nothing at" in mistake(*made, "--bank", place / "no.npy", "--out", tmp_path / "more")
    write_bytes(url, b"damaged")
    told = mistake("identities", "inspect", url)
    assert told.startswith(f"{url} is neither a .npy nor a readable safetensors file")


def test_photographs_behind_a_url_become_identities(place: RemotePath, tmp_path: Path, tiny_embedder_dir: Path) -> None:
    for name in ("ann", "bob"):
        write_bytes(place / "photos" / f"{name}.png", face())
    bank = tmp_path / "bank.safetensors"
    done = run("identities", "from-images", place / "photos", "--embedder", tiny_embedder_dir, "--out", bank)
    assert done.exit_code == 0, done.output
    assert IdentityBank.load(bank).ids == ("ann", "bob")


def test_verification_sets_behind_urls_are_those_in_files(place: RemotePath, tmp_path: Path) -> None:
    images = {name: face() for name in "abcd"}
    pairs = [NamedPair("a", "b", True), NamedPair("c", "d", False)] * 2
    write_bin(tmp_path / "set.bin", pairs, images)
    pixels = RNG.integers(0, 256, (8, 112, 112, 3), np.uint8)
    np.save(tmp_path / "arrays.npy", pixels)
    (tmp_path / "arrays_issame.txt").write_text("1 0 1 0")
    (tmp_path / "pairs.txt").write_text("".join(f"{p.first}.png {p.second}.png {int(p.same)}\n" for p in pairs))
    for name in "abcd":
        (tmp_path / f"{name}.png").write_bytes(images[name])
    for path in tmp_path.iterdir():
        if path.is_file():
            write_bytes(place / path.name, path.read_bytes())
    for name in ("set.bin", "arrays.npy", "pairs.txt"):
        there = open_verification_set(f"mine={place / name}", folds=2)
        here = open_verification_set(str(tmp_path / name), folds=2)
        assert (there.name, there.source, there.digest) == ("mine", str(place / name), here.digest)
    assert open_verification_set(str(place / "set.bin"), folds=2).name == "set"
    told = mistake("evaluate", "verification", "embedded", place / "no.npy")
    assert told == f"there is nothing at {place}/no.npy."


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "embedder", "embedded", "--data", "s3://b/pack", "--out", "run"),
        ("identities", "sample", "--count", 3, "--out", "s3://b/bank.safetensors"),
        ("generate", "--weights-card", "s3://b/card.json", "--out", "faces"),
        ("evaluate", "verification", "embedded", "set.bin", "--json", "s3://b/figures.json"),
        ("data", "pack", "embedded", "--root", "s3://b/sources", "--out", "pack"),
    ],
)
def test_a_url_where_a_path_is_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "a path of this machine is taken here, not the URL s3://b/" in mistake(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_url_in_a_recipe_where_a_path_is_meant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("attributes: {brightness: '>=9'}\nsteering: {directions: s3://b/d}\n")
    told = mistake("generate", "mine.yaml", "--out", "faces")
    assert "steering.directions: directions takes a path of this machine, not the URL s3://b/d" in told
    told = mistake("plan", "s3://b/mine.yaml")
    assert told == "RECIPE takes a path of this machine, not the URL s3://b/mine.yaml."
