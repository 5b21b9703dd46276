"""`metadata.parquet` of a dataset, read alongside its images."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.data.exclusions import read_exclusions
from vec2face.data.readers import FaceReader
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import sha256_file
from vec2face.generation.folder import DatasetFolder, read_description
from vec2face.generation.manifest import KEPT
from vec2face.interchange.columns import RESERVED, is_plain


class DatasetTable:
    """A row per kept image, in the order of the images; one row group is in memory at a time.

    Identities that are excluded from the dataset have no rows here, as they have no images in its reader.

    Attributes:
        folder: the dataset.
        path: the table.
        description: what `dataset.json` says.
        excluded: numbers of the identities that are left out.
    """

    def __init__(self, folder: DatasetFolder, images: int) -> None:
        """Read the table's index.

        Args:
            folder: the dataset.
            images: how many there are in its archives.

        Raises:
            DatasetError: the description or the table is missing or damaged, or does not fit the images.
        """
        self.folder, self.path = folder, folder.metadata
        self.description = read_description(folder)
        self.excluded = tuple(sorted(read_exclusions(Path(str(folder.root)))))
        self._held: tuple[int, pa.Table] | None = None
        counts = [self._kept(group, ["key"]).num_rows for group in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *counts])
        if self._starts[-1] != images:
            raise self._problem(f"it lists {self._starts[-1]} images, but the archives hold {images}")

    @classmethod
    def beside(cls, reader: FaceReader) -> "DatasetTable | None":
        """Return the table of a dataset of this toolkit, or None if the set is another. Raises as the constructor."""
        folder = DatasetFolder(Path(reader.source))
        return cls(folder, len(reader)) if folder.description.is_file() else None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the dataset."""
        return str(self.description["fingerprint"])

    def lineage(self) -> dict[str, Any]:
        """Return where the dataset itself comes from: its name, fingerprint, recipe, generator and origin."""
        known = ("name", "fingerprint", "recipe", "generator", "origin")
        return {name: self.description[name] for name in known if self.description.get(name) is not None}

    def digest(self) -> str:
        """SHA-256 of the table, which an audit changes."""
        return sha256_file(self.path)

    @property
    def schema(self) -> pa.Schema:
        """All columns of the table."""
        return self._file.schema_arrow

    @cached_property
    def columns(self) -> pa.Schema:
        """The plain columns that hold anything, besides who and which image it is."""
        schema = self._file.schema_arrow
        taken = [field for field in schema if field.name not in RESERVED and is_plain(field.type)]
        return pa.schema([field for field in taken if not self._empty(schema.names.index(field.name))])

    def people(self) -> tuple[NDArray[np.int64], dict[int, str]]:
        """Return the identity of each image, `(N,)`, and each identity's name."""
        numbers: list[NDArray[np.int64]] = []
        names: dict[int, str] = {}
        for group in range(self._file.num_row_groups):
            rows = self._kept(group, ["identity", "identity_name"])
            identity = rows["identity"].to_numpy().astype(np.int64)
            numbers.append(identity)
            first = np.unique(identity, return_index=True)[1]
            chosen = rows.take(pa.array(first))
            names |= dict(zip(chosen["identity"].to_pylist(), chosen["identity_name"].to_pylist(), strict=True))
        return np.concatenate(numbers), names

    def matching(self, condition: pc.Expression, columns: list[str]) -> NDArray[np.bool_]:
        """Return which images fulfil a condition, `(N,)`.

        Raises:
            pa.ArrowException: the condition does not fit the columns' types.
        """
        found = np.zeros(int(self._starts[-1]), bool)
        for group, start in enumerate(self._starts[:-1]):
            rows = self._kept(group, list(dict.fromkeys(["key", *columns])))
            rows = rows.append_column("__position__", pa.array(np.arange(start, start + rows.num_rows)))
            found[rows.filter(condition)["__position__"].to_numpy()] = True
        return found

    def rows(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of the images from position `start` up to, not including, `stop`."""
        group = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            if self._held is None or self._held[0] != group:
                self._held = (group, self._kept(group, ["key", *self.columns.names]))
            first, end = int(self._starts[group]), int(self._starts[group + 1])
            yield from self._held[1].slice(start - first, min(stop, end) - start).to_pylist()
            start, group = min(stop, end), group + 1

    def check(self, row: dict[str, Any], key: str) -> dict[str, Any]:
        """Return the facts in a row, without those that are null. Raises `DatasetError` if it is of another image."""
        if row["key"] != key:
            raise self._problem(f"it lists {row['key']!r} where the archives hold {key!r}")
        return {name: value for name, value in row.items() if name != "key" and value is not None}

    @cached_property
    def _file(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except FileNotFoundError:
            raise DatasetError(
                f"{self.path} is missing; run 'vec2face verify {self.folder.root}', which says how to mend it."
            ) from None
        except (pa.ArrowException, OSError) as error:
            raise self._problem(f"it is unreadable: {' '.join(str(error).split())}") from None

    def _empty(self, column: int) -> bool:
        """Whether a column holds nothing but nulls, by what the file says of itself."""
        facts = self._file.metadata
        for group in range(facts.num_row_groups):
            chunk = facts.row_group(group).column(column)
            if chunk.statistics is None or chunk.statistics.null_count != chunk.num_values:
                return False
        return True

    def _kept(self, group: int, columns: list[str]) -> pa.Table:
        try:
            rows = self._file.read_row_group(group, columns=list(dict.fromkeys([*columns, "status", "identity"])))
            kept = pc.field("status") == KEPT
            if self.excluded:
                kept &= ~pc.field("identity").isin(pa.array(self.excluded, pa.int32()))
            return rows.filter(kept).select(columns)
        except (pa.ArrowException, OSError) as error:
            raise self._problem(f"it is unreadable: {' '.join(str(error).split())}") from None

    def _problem(self, what: str) -> DatasetError:
        return DatasetError(
            f"{self.path} does not fit its dataset ({what}); run 'vec2face verify {self.folder.root}', which says how "
            "to mend it."
        )
