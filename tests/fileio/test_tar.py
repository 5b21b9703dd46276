"""Deterministic archives, and refusal of hostile or damaged ones."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError, StorageError
from vec2face.fileio.tar import read_tar, write_tar

MEMBERS = [("0000000_0000.jpg", b"\xff\xd8" * 700), ("0000000_0000.cls", b"0"), ("folder/empty.json", b"")]


def hostile(path: Path, name: str, **attributes: object) -> Path:
    with tarfile.open(path, "w") as archive:
        header = tarfile.TarInfo(name)
        for key, value in attributes.items():
            setattr(header, key, value)
        archive.addfile(header, io.BytesIO(b""))
    return path


def test_round_trip_keeps_order_and_bytes(tmp_path: Path) -> None:
    digest = write_tar(tmp_path / "a.tar", MEMBERS)
    assert list(read_tar(tmp_path / "a.tar")) == MEMBERS
    assert digest == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()


def test_headers_hold_nothing_of_this_machine(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", MEMBERS)
    with tarfile.open(tmp_path / "a.tar") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.mode == 0o644
            assert member.pax_headers == {}
    assert (tmp_path / "a.tar").read_bytes()[257:262] == b"ustar"


@settings(max_examples=25, deadline=None)
@given(
    members=st.lists(
        st.tuples(st.from_regex(r"[a-z0-9]{1,20}\.[a-z]{1,4}", fullmatch=True), st.binary(max_size=2000)),
        max_size=8,
        unique_by=lambda member: member[0],
    )
)
def test_any_members_round_trip(tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]]) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    assert write_tar(path, members) == write_tar(path, iter(members))
    assert list(read_tar(path)) == members


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..\\x", "C:/x", "a/.."])
def test_names_that_escape_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="reach outside"):
        list(read_tar(hostile(tmp_path / "h.tar", name)))
    with pytest.raises(InputError, match="reach outside"):
        write_tar(tmp_path / "w.tar", [(name, b"")])
    assert not (tmp_path / "w.tar").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(InputError, match="link or a device"):
        list(read_tar(hostile(tmp_path / "h.tar", "x", type=kind, linkname="/etc/passwd")))


def test_a_forged_size_is_refused_before_reading(tmp_path: Path) -> None:
    header = tarfile.TarInfo("big.bin")
    header.size = 1 << 40
    (tmp_path / "h.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(InputError, match="cut short inside 'big"):
        list(read_tar(tmp_path / "h.tar"))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", MEMBERS)
    whole = (tmp_path / "a.tar").read_bytes()
    used = 512 * (1 + 3 + 1 + 1 + 1)  # three headers, 1400 bytes in three blocks, one byte in one block
    for length in (0, 100, 512, 1000, 2048, used):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.tar"):
            list(read_tar(tmp_path / "cut.tar"))


def test_not_a_tar_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"not a tar at all" * 100)
    with pytest.raises(InputError, match=r"x\.tar is not a readable uncompressed tar"):
        list(read_tar(tmp_path / "x.tar"))
    with pytest.raises(InputError, match=r"cannot read .*missing\.tar"):
        list(read_tar(tmp_path / "missing.tar"))


def test_duplicate_and_overlong_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two members"):
        write_tar(tmp_path / "a.tar", [("x", b""), ("x", b"")])
    with pytest.raises(InputError, match="too long"):
        write_tar(tmp_path / "a.tar", [("x" * 300, b"")])


def test_an_error_while_members_are_made_leaves_no_file(tmp_path: Path) -> None:
    def members() -> object:
        yield "a", b"1"
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="disk is full"):
        write_tar(tmp_path / "a.tar", members())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
