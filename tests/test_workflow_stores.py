"""A whole job behind a URL: generate, audit, document; and the commands that take one."""

import shutil
from pathlib import Path

import pytest

from tests.commands import mistake, run
from tests.generation.conftest import contents
from vec2face.config.audit import AuditOptions
from vec2face.config.generation import GenerateRecipe
from vec2face.config.model_card import ModelCard, TrainingData, write_model_card
from vec2face.data.readers import open_reader
from vec2face.fileio.atomic import write_bytes
from vec2face.fileio.remote import RemotePath
from vec2face.workflow import audit_dataset, make_dataset

pytestmark = pytest.mark.integration


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemotePath:
    monkeypatch.setenv("VEC2FACE_CACHE", str(tmp_path / "copies"))
    return RemotePath(f"memory://{tmp_path.name}")


@pytest.fixture
def weights(place: RemotePath, tmp_path: Path, tiny_generator_dir: Path) -> str:
    """The URL of a generator with its card."""
    folder = tmp_path / "generator"
    shutil.copytree(tiny_generator_dir, folder)
    source = TrainingData(name="nothing", role="random weights", licence="none", consent="nobody is shown")
    write_model_card(folder, ModelCard(name="tiny", licence="Apache-2.0", source="this test", data=(source,)))
    for file in folder.iterdir():
        write_bytes(place / "generator" / file.name, file.read_bytes())
    return str(place / "generator")


def test_a_dataset_behind_a_url_gets_its_report_there(
    place: RemotePath, weights: str, tiny_embedder_dir: Path, tmp_path: Path
) -> None:
    values = {
        "name": "tiny faces",
        "weights": weights,
        "identities": {"source": "gaussian", "standard_deviation": 1.0, "count": 3, "ceiling": 0.9},
        "images_per_identity": 3,
        "shards": {"identities_per_shard": 2},
    }
    recipe, options = GenerateRecipe.model_validate(values), AuditOptions(embedder=str(tiny_embedder_dir))
    out = place / "faces"
    made = make_dataset(recipe, out, workers=1, audit_options=options)
    local = make_dataset(recipe, tmp_path / "faces", workers=1, audit_options=options)
    assert made.audit is not None
    assert local.audit is not None
    assert made.audit.facts == local.audit.facts
    assert f"Report: {out}/report/report.html; card: {out}/report/card.md" in made.sentence
    there = {name for name in out.files() if "/cache/" not in name}
    assert there == set(out.files()), "the audit's embeddings belong to the copy"
    assert there == {name for name in contents(tmp_path / "faces") if "/cache/" not in name}
    assert (out / "metadata.parquet").read_bytes() == (tmp_path / "faces" / "metadata.parquet").read_bytes()
    assert audit_dataset(out, options).facts == made.audit.facts
    assert [record.label for record in open_reader(out).records()] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_commands_take_urls(place: RemotePath, weights: str) -> None:
    small = ("--source", "gaussian", "--identities", 2, "--images-per-identity", 2, "--identities-per-shard", 1)
    out = place / "faces"
    made = run("generate", "--weights", weights, *small, "--workers", 1, "--audit", "none", "--out", out)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith(f"{out}: 4 images of 2 identities (4 rendered in ")
    assert run("verify", out).stdout == f"{out} is whole: 4 images in 2 shards.\n"
    archive = out / "shards" / "000000.tar"
    whole = archive.read_bytes()
    write_bytes(archive, bytes(len(whole)))
    checked = run("verify", out)
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (1, f"{archive}: damaged: its content changed")
    command = checked.stdout.partition("mend them with: vec2face ")[2].split()
    assert run(*command, "--audit", "none", "--workers", 1).exit_code == 0
    assert archive.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("generate", "--out", "s3://"), "s3:// names no place"),
        (("generate", "--out", "floppy://a/faces"), "unknown protocol 'floppy' in floppy://a/faces"),
        (("verify", "memory://nothing/here"), "memory://nothing/here is not a dataset: there is no such folder"),
        (("audit", "memory://nothing/here"), "there is nothing at memory://nothing/here"),
        (("generate", "--weights", "memory://no/weights", "--out", "memory://new/faces"), "there are no weights at"),
    ],
)
def test_mistakes_end_in_one_sentence(place: RemotePath, arguments: tuple[str, ...], told: str) -> None:
    assert told in mistake(*arguments)
