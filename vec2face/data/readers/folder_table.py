"""`metadata.csv` of an image folder: a column `file_name` with each image's path, and facts beside it.

The convention is that of Hugging Face's ImageFolder.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from vec2face.errors import InputError

TABLE_NAME, NAME_COLUMN = "metadata.csv", "file_name"


class FolderTable:
    """The table of one folder; without the file, no image has facts.

    The first question reads the table, which is held in memory, without Python objects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = False
        self._table: pa.Table | None = None

    def facts_of(self, name: str) -> dict[str, Any]:
        """Return the row of an image, without its name and without empty fields.

        Args:
            name: path of the image below the folder.

        Raises:
            InputError: the table is unreadable, has no column `file_name`, or names an image twice.
        """
        if not self._read:
            self._table = self._load() if self.path.is_file() else None
            self._read = True
        if self._table is None:
            return {}
        wanted = np.bytes_(name.encode("utf-8", "surrogateescape"))
        place = int(np.searchsorted(self._names, wanted))
        if place == len(self._names) or self._names[place] != wanted:
            return {}
        row = int(self._rows[place])
        facts = {column: self._table[column][row].as_py() for column in self._table.column_names}
        return {column: value for column, value in facts.items() if value is not None}

    def _load(self) -> pa.Table:
        try:
            table = _read(self.path)
            names = np.array([str(name).encode() for name in table[NAME_COLUMN].to_pylist()], dtype=np.bytes_)
        except KeyError:
            raise InputError(f"{self.path} has no column {NAME_COLUMN!r}, which names the images.") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.path} is not a readable table ({reason}); mend it, or move it elsewhere."
            ) from None
        self._rows = np.argsort(names, kind="stable")
        self._names = names[self._rows]
        twice = np.flatnonzero(self._names[1:] == self._names[:-1])
        if len(twice):
            raise InputError(f"{self.path} names {self._names[twice[0]].decode('utf-8', 'replace')!r} twice.")
        return table.drop_columns([NAME_COLUMN])


def _read(path: Path) -> pa.Table:
    """Read the table; empty fields are missing values."""
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    try:
        # Seeds are 64-bit numbers, which would be taken for floating-point ones and lose their end.
        options.column_types = {"seed": pa.uint64()}
        return pyarrow.csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid:
        options.column_types = {}
        return pyarrow.csv.read_csv(path, convert_options=options)
