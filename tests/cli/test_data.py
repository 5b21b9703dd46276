"""`vec2face data`: what its options mean, and that mistakes end before any work."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.data.faces import jpeg, write_folders
from vec2face.config.preparing import PrepareOptions
from vec2face.errors import Vec2FaceError
from vec2face_cli.data import data
from vec2face_cli.data_prepare import prepare


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of --detector FILE, --landmarks FILE, --aligned"),
        (["--aligned", "--detector", "d.onnx"], "one of --detector FILE, --landmarks FILE, --aligned"),
        (["--aligned", "--min-size", "40"], "--min-size plays no part with --aligned"),
        (["--aligned", "--several-faces", "drop"], "--several-faces plays no part with --aligned"),
        (["--landmarks", "d.onnx", "--min-score", "0.5"], "--min-score plays no part with --landmarks"),
        (["--aligned", "--dedupe", "0"], "not in the range"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.onnx").write_text("")
    result = run("prepare", "source", "--out", "out", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-brightness", "240"], "min_brightness must be below max_brightness"),
        (["--format", "png", "--quality", "90"], "png is lossless and takes no quality"),
        ([], "there is no file or folder nothing"),
    ],
)
def test_values_that_do_not_fit(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("prepare", "nothing", "--aligned", "--out", tmp_path / "out", *arguments)
    assert isinstance(result.exception, Vec2FaceError)
    assert message in str(result.exception)


def test_the_defaults_stand_in_the_schema_alone() -> None:
    shown = {parameter.name: parameter.default for parameter in prepare.params}
    fields = PrepareOptions.model_fields
    assert {
        name: shown[name] for name in shown.keys() & fields.keys() if isinstance(shown[name], str | int | float)
    } == {
        name: fields[name].default
        for name in (
            "people",
            "min_sharpness",
            "min_brightness",
            "max_brightness",
            "dedupe",
            "embedder",
            "feature_batch",
        )
    } | {name: fields[name].default for name in ("device", "shard_size")}


@pytest.mark.integration
def test_from_photos_to_a_pack(tmp_path: Path, tiny_embedder_dir: Path) -> None:
    source = write_folders(tmp_path / "source", ["ann", "bob"])
    (source / "bob" / "9.jpg").write_bytes(b"no image")
    (source / "bob" / "notes.txt").write_text("")
    first = run(
        "prepare", source, "--aligned", "--dedupe", 1, "--embedder", tiny_embedder_dir, "--out", tmp_path / "out"
    )
    assert first.exit_code == 0, first.output
    assert "1 dropped: not an image" in first.output
    assert "4 of 5 images kept of 2 people" in first.output
    assert "1 files are no images by their name and were not read, such as bob/notes.txt" in first.output
    second = run("pack", "--from", tmp_path / "out", "--out", tmp_path / "pack")
    assert second.exit_code == 0, second.output
    assert second.output.startswith("4 faces in")
    assert isinstance(run("pack", "--from", tmp_path / "out", "--out", tmp_path / "pack").exception, Vec2FaceError)


def test_pack_takes_a_recipe_or_sources(tmp_path: Path) -> None:
    for arguments in (
        [],
        ["embedded"],
        ["embedded", "--root", tmp_path, "--from", "x"],
        ["--from", "x", "--root", tmp_path],
    ):
        result = run("pack", *arguments, "--out", tmp_path / "pack")
        assert result.exit_code == 2
        assert "give a RECIPE with --root, or --from SOURCE" in " ".join(result.output.split())


def test_a_pack_of_photos_is_told_how_to_prepare_them(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg(0, size=250))
    result = run("pack", "--from", tmp_path / "photos", "--out", tmp_path / "pack")
    assert "is 250x250; a pack takes aligned 112x112 crops: run 'vec2face data prepare'" in str(result.exception)
