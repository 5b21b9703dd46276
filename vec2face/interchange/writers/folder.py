"""Write an image folder: `0000012/0003.jpg`, and `metadata.csv` with a row per image.

The folders' names sort as the labels do, so that loaders that number folders by name arrive at the same labels. The
table follows Hugging Face's ImageFolder: a column `file_name`, facts beside it.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vec2face.data.readers.folder_table import NAME_COLUMN, TABLE_NAME
from vec2face.fileio.atomic import explain_os_error
from vec2face.interchange.image_kinds import kind_of
from vec2face.interchange.selection import Item
from vec2face.interchange.writers.base import GrowingFile, SetFacts, SetWriter

_WHO = ("label", "identity_name", "source_key")


class FolderWriter(SetWriter):
    """An image a file. Files of a block that was stopped are written over."""

    format = "folder"
    takes_facts = True

    def __init__(self, folder: Path, facts: SetFacts, *, block: int) -> None:
        super().__init__(folder, facts, block=block)
        self._table = GrowingFile(folder / TABLE_NAME)
        self._columns = facts.columns.names

    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        self._table.resume(int(state.get(TABLE_NAME, 0)))
        if not images:
            self._row([NAME_COLUMN, *_WHO, *self._columns])
        return images

    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        for item in items:
            record = item.record
            suffix = kind_of(record.data, where=record.where).suffix
            name = f"{item.label:07d}/{item.number:04d}.{suffix}"
            self._write(self.folder / name, record.data)
            facts = [item.facts.get(column, "") for column in self._columns]
            self._row([name, item.label, item.person, record.key, *facts])
        # One for all files of the block: a call for each would take longer than all else.
        os.sync()
        return {TABLE_NAME: self._table.settle()}

    def finish(self) -> None:
        self._table.settle()
        self.close()

    def close(self) -> None:
        self._table.close()

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise explain_os_error(error, path) from error

    def _row(self, values: Iterable[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        self._table.append(text.getvalue().encode("utf-8", "backslashreplace"))
