"""`vec2face export`, `import`, `subset`, `split` and `merge`: from options to a set, and mistakes in one sentence."""

from pathlib import Path

import pytest

from tests.commands import mistake, run
from tests.data.faces import write_folders, write_im2rec
from tests.interchange.sets import content


def test_from_options_to_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_folders(tmp_path / "faces", ["ann", "bob", "cid"])
    assert run("import", source, "--out", "set", "--licence", "ours").exit_code == 0
    assert run("export", "set", "--to", "recordio", "--dialect", "im2rec", "--out", "rec").exit_code == 0
    assert run("subset", "set", "--identities", "1:", "--out", "part").exit_code == 0
    assert run("subset", "set", "--identities", "1", "--out", "first").exit_code == 0
    assert run("split", "set", "--parts", "train=0.67,val=0.33", "--out", "parts").exit_code == 0
    result = run("merge", "first", "part", "--out", "whole")
    assert result.exit_code == 0
    assert "whole: 6 images of 3 people as a dataset" in result.output
    assert content(tmp_path / "rec") == content(tmp_path / "set") == content(tmp_path / "whole")
    assert "set is whole: 6 images in 1 shards" in run("verify", "set").output
    archive = tmp_path / "set" / "shards" / "000000.tar"
    archive.write_bytes(archive.read_bytes()[:-1])
    result = run("verify", "set")
    assert result.exit_code == 1
    assert "remove the dataset, and make it again with: vec2face import" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "a.rec", "--out", "out"], "Missing option '--to'"),
        (["export", "a.rec", "--to", "zip", "--out", "out"], "'zip' is not one of"),
        (["export", "a.rec", "--to", "lmdb", "--out", "out", "--images-per-file", "0"], "not in the range"),
        (["subset", "a.rec", "--out", "out"], "say what to take: --identities, --where or --images-per-identity"),
        (["subset", "a.rec", "--out", "out", "--identities", "some"], "neither a number, such as 500, nor a range"),
        (["split", "a.rec", "--out", "out", "--parts", "train"], "'train' is not NAME=SHARE"),
        (["split", "a.rec", "--out", "out", "--parts", "a=0.5,a=0.5"], "'a' is named twice"),
        (["import", "a.rec", "--out", "out", "--from", "zip"], "'zip' is not one of"),
        (["merge", "--out", "out"], "Missing argument 'DATASETS...'"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_im2rec(tmp_path / "a.rec", [0, 1])
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "nothing", "--to", "lmdb", "--out", "out"], "there is no file or folder nothing"),
        (["export", "a.rec", "--to", "lmdb", "--out", "a.rec"], "a.rec exists already; choose another --out"),
        (["import", "a.idx", "--out", "out"], "a.idx belongs to a RecordIO set; name its .rec file"),
        (["subset", "a.rec", "--out", "out", "--identities", "3"], "a.rec has 2 people, fewer than --identities"),
        (["export", "a.rec", "--to", "lmdb", "--out", "floppy://b/out"], "unknown protocol 'floppy' in floppy://b/out"),
        (["export", "a.rec", "--to", "lmdb", "--out", "."], "--out . is not the name of a folder to be made"),
        (["merge", "a.rec", "--out", "out"], "a merge needs two datasets or more"),
        (["merge", "a.rec", "a.rec", "--out", "out"], "a.rec is the same dataset as a.rec; give each only once"),
        (["split", "a.rec", "--parts", "a=0.5,b=0.4", "--out", "out"], "add up to 0.9, not to 1"),
    ],
)
def test_mistakes_are_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_im2rec(tmp_path / "a.rec", [0, 1])
    assert message in mistake(*arguments)
    assert not list(tmp_path.glob("out*"))
