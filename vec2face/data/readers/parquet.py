"""Hugging Face parquet: a column of images, each a struct of `bytes` and `path`, with labels and facts beside it.

The layout is that of the `datasets` library's Image feature: `image: struct<bytes: binary, path: string>`. A column
`label` (or `identity`) holds the person's number, `identity_name` (or `person`) the name, `features` a list of floats
the embedding; whatever else is plain is a fact.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vec2face.data.readers.base import FaceReader, FaceRecord, file_sizes
from vec2face.errors import InputError

MAX_IMAGE_BYTES = 1 << 26  # as in archives; far beyond any crop of a face
_LABELS, _NAMES, _KEYS, _FEATURE = ("label", "identity"), ("identity_name", "person"), ("key",), "feature"
_ROWS = 128


class ParquetReader(FaceReader):
    """Parquet files, one after another. A position is reached by reading its row group from the start."""

    format = "Hugging Face parquet"
    annotated = True

    def __init__(self, paths: Sequence[Path], *, source: str) -> None:
        """Read the files' footers.

        Raises:
            InputError: a file is damaged, has no column of images, or other columns than the first.
        """
        self.source, self.paths = source, tuple(paths)
        self._groups: list[tuple[int, int, int]] = []  # file, row group, first position
        self._length = 0
        schema: pa.Schema | None = None
        for number, path in enumerate(self.paths):
            with _opened(path) as file:
                if schema is not None and file.schema_arrow.names != schema.names:
                    raise InputError(f"{path} has other columns than {self.paths[0]}; they are not one set.")
                schema = schema or file.schema_arrow
                for group in range(file.num_row_groups):
                    self._groups.append((number, group, self._length))
                    self._length += file.metadata.row_group(group).num_rows
        if schema is None or not self._length:
            raise InputError(f"{source} holds no images.")
        self._columns = _Columns(schema, source)

    def __len__(self) -> int:
        return self._length

    @property
    def labelled(self) -> bool:
        return self._columns.label is not None

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        return self._records(start, stop, images=True)

    def outlines(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        return self._records(start, stop, images=False)

    def files(self) -> Iterator[tuple[str, int]]:
        return file_sizes(self.paths)

    def _records(self, start: int, stop: int | None, *, images: bool) -> Iterator[FaceRecord]:
        window = self.window(start, stop)
        wanted = self._columns.all if images else self._columns.plain
        ends = [first for _, _, first in self._groups[1:]] + [self._length]
        for (number, group, first), end in zip(self._groups, ends, strict=True):
            if end <= window.start or first >= window.stop:
                continue
            position = first
            with _opened(self.paths[number]) as file:
                for batch in _batches(file, group, wanted, self.paths[number]):
                    low, high = max(window.start, position), min(window.stop, position + len(batch))
                    if low < high:
                        rows = batch.slice(low - position, high - low).to_pylist()
                        for place, row in enumerate(rows, start=low):
                            yield self._record(row, place, self.paths[number], images=images)
                    position += len(batch)
                    if position >= window.stop:
                        return

    def _record(self, row: dict[str, Any], position: int, path: Path, *, images: bool) -> FaceRecord:
        columns = self._columns
        where = f"{path}: row {position}"
        label = None if columns.label is None else _label(row[columns.label], where)
        name = None if columns.name is None else row[columns.name]
        person = None if label is None else str(name) if name is not None else columns.class_name(label)
        facts = {name: row[name] for name in columns.facts if row[name] is not None}
        key = str(row[columns.key]) if columns.key is not None and row[columns.key] is not None else str(position)
        data, feature = b"", None
        if images:
            data = _image(row[columns.image], where)
            if columns.feature is not None and row[columns.feature] is not None:
                feature = np.asarray(row[columns.feature], np.float32)
        return FaceRecord(key, data, where, label, person, feature, facts=facts)


class _Columns:
    """Which column is what."""

    def __init__(self, schema: pa.Schema, source: str) -> None:
        images = [field.name for field in schema if _is_image(field.type)]
        if len(images) != 1:
            found = f"{len(images)} ({', '.join(images)})" if images else f"none among {', '.join(schema.names)}"
            raise InputError(
                f"{source} must have one column of images, a struct of bytes and path as the datasets library "
                f"writes it; it has {found}."
            )
        self.image = images[0]
        self.label = _first(schema, _LABELS, pa.types.is_integer)
        self.name = _first(schema, _NAMES, _is_text)
        self.key = _first(schema, _KEYS, _is_text)
        self.feature = _first(schema, (_FEATURE,), _is_vector)
        roles = {self.image, self.label, self.name, self.key, self.feature}
        self.facts = [field.name for field in schema if field.name not in roles and _is_plain(field.type)]
        self.plain = [name for name in (self.label, self.name, self.key, *self.facts) if name is not None]
        self.all = [*self.plain, self.image, *([self.feature] if self.feature else [])]
        self._class_names = _class_names(schema, self.label)

    def class_name(self, label: int) -> str:
        return self._class_names[label] if label < len(self._class_names) else str(label)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}.") from None
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a whole parquet file ({reason}); get a complete copy.") from None


def _batches(file: pq.ParquetFile, group: int, columns: list[str], path: Path) -> Iterator[pa.RecordBatch]:
    if not columns:
        # Positions alone; parquet gives no rows where no column is asked for.
        columns = [file.schema_arrow.names[0]]
    try:
        yield from file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())}); get a complete copy.") from None


def _image(value: Any, where: str) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else None
    if not isinstance(data, bytes):
        # A path alone names a file elsewhere, which a set from strangers must not choose.
        raise InputError(f"{where} holds no image bytes, only a path; save the set with its images embedded.")
    if len(data) > MAX_IMAGE_BYTES:
        raise InputError(f"{where} holds an image of {len(data)} bytes; none may be larger than {MAX_IMAGE_BYTES}.")
    return data


def _label(value: Any, where: str) -> int:
    if not isinstance(value, int) or value < 0:
        raise InputError(f"{where} has the label {value}, which is no number of a person.")
    return value


def _class_names(schema: pa.Schema, label: str | None) -> list[str]:
    """Return the names of a ClassLabel column, from the description the `datasets` library keeps in the schema."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _first(schema: pa.Schema, names: Sequence[str], fits: Any) -> str | None:
    return next((name for name in names if name in schema.names and fits(schema.field(name).type)), None)


def _is_image(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {field.name for field in kind} >= {"bytes", "path"}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_vector(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed and pa.types.is_floating(kind.value_type))


def _is_plain(kind: pa.DataType) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
