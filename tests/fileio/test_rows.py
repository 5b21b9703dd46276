"""Rows of a .npy file are written in any order and read back; a full disk is an error, not the process's end."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from vec2face.errors import StorageError
from vec2face.fileio.rows import RowFile


def test_rows_are_read_where_they_were_written_and_others_are_zero(tmp_path: Path) -> None:
    RowFile.create(tmp_path / "a.npy", np.dtype(np.float32), (6, 3))
    file = RowFile(tmp_path / "a.npy")
    file.write(4, np.ones((2, 3)))
    file.write(1, np.full((1, 3), 7.0))
    file.flush()
    expected = np.zeros((6, 3), np.float32)
    expected[4:], expected[1] = 1, 7
    np.testing.assert_array_equal(file.read(), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)
    assert RowFile(tmp_path / "a.npy").read().dtype == np.float32


def test_a_new_file_takes_no_disk_for_its_rows(tmp_path: Path) -> None:
    RowFile.create(tmp_path / "a.npy", np.dtype(np.float32), (1_000_000, 128))
    found = (tmp_path / "a.npy").stat()
    assert found.st_size > 512_000_000
    assert found.st_blocks * 512 < 1_000_000


def test_structured_rows_keep_their_fields(tmp_path: Path) -> None:
    kind = np.dtype([("identity", "<i4"), ("sigma", "<f4")])
    RowFile.create(tmp_path / "a.npy", kind, (3,))
    RowFile(tmp_path / "a.npy").write(1, np.array([(5, 0.5)], kind))
    assert np.load(tmp_path / "a.npy").tolist() == [(0, 0.0), (5, 0.5), (0, 0.0)]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    RowFile.create(tmp_path / "a.npy", np.dtype(np.float32), (6, 3))
    file = RowFile(tmp_path / "a.npy")
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here, a disk that is always full")
    file._stream.close()
    file._stream = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115
    with pytest.raises(StorageError, match=r"a\.npy: the disk is full"):
        file.write(0, np.ones((1, 3)))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=os.strerror(errno.ENOENT)):
        RowFile.create(tmp_path / "none" / "a.npy", np.dtype(np.float32), (1, 1))
