"""An output that cannot or must not be written is refused before any work, and nothing is created."""

from pathlib import Path

import pytest

from vec2face.errors import InputError, StorageError
from vec2face.fileio.outputs import require_new


def test_a_new_path_is_accepted_and_nothing_is_created(tmp_path: Path) -> None:
    require_new(tmp_path / "deep" / "er" / "bank", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("precious")
    with pytest.raises(InputError, match=r"bank exists already; choose another name or add --overwrite"):
        require_new(tmp_path / "bank", overwrite=False)
    require_new(tmp_path / "bank", overwrite=True)
    assert (tmp_path / "bank").read_text() == "precious"


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot write .*bank: a part of the path is a file"):
        require_new(tmp_path / "file" / "bank", overwrite=False)


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    folder = Path("/proc")
    if not folder.is_dir():
        pytest.skip("no /proc here, a folder that nobody can write to")
    with pytest.raises(StorageError, match="cannot write /proc/bank"):
        require_new(folder / "bank", overwrite=True)
