"""The plain facts of images, as columns with types: found out from records, and written in a dataset's schema."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from vec2face.generation.metadata import SCHEMA

# What says who, where or which image it is; a dataset numbers these itself.
RESERVED = frozenset(
    {"key", "shard", "identity", "identity_name", "image", "status", "label", "person", "file_name", "source_key"}
    # The number of another person, which a new set numbers otherwise.
    | {"nearest_identity"}
)
_INT64 = 1 << 63
_TYPES = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
}


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of this type are single numbers, truth values or texts."""
    types = pa.types
    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind))


class ColumnGuess:
    """Finds out the columns of a set whose records carry facts, one record after another.

    A fact is a column if its values are plain and of one type; whole numbers among others are taken as floating-point.
    The facts of generated images have the types of `vec2face.generation.metadata.SCHEMA`.
    """

    def __init__(self) -> None:
        self._types: dict[str, pa.DataType | None] = {}

    def add(self, facts: Mapping[str, Any]) -> None:
        """Take the facts of one record into account; a fact that is None says nothing."""
        for name, value in facts.items():
            if name in RESERVED or value is None:
                continue
            found = _type_of(value)
            before = self._types.setdefault(name, found)
            if before != found:
                numbers = {before, found} <= {pa.int64(), pa.float64()}
                self._types[name] = pa.float64() if numbers else None

    def schema(self) -> pa.Schema:
        """Return the columns, those of generated images first."""
        known = [field for field in SCHEMA if field.name in self._types and field.name not in RESERVED]
        others = [
            pa.field(name, kind)
            for name, kind in sorted(self._types.items())
            if kind is not None and name not in SCHEMA.names
        ]
        return pa.schema([*known, *others])


def _type_of(value: Any) -> pa.DataType | None:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -_INT64 <= value < _INT64 else None
    if isinstance(value, float):
        return pa.float64()
    return pa.string() if isinstance(value, str) else None


def schema_text(schema: pa.Schema) -> list[list[str]]:
    """Return name and type of each column, as JSON can hold them."""
    return [[field.name, str(field.type)] for field in schema]


def text_schema(text: list[list[str]]) -> pa.Schema:
    """Return the columns that `schema_text` wrote. Raises `KeyError` for a type it never writes."""
    return pa.schema([pa.field(name, _TYPES[kind]) for name, kind in text])


def union(schemas: list[pa.Schema]) -> pa.Schema:
    """Return all columns of several sets; one that differs in type between them becomes floating-point, or is left out.

    A column left out of the table stays in each image's own facts.
    """
    types: dict[str, pa.DataType | None] = {}
    for schema in schemas:
        for field in schema:
            before = types.setdefault(field.name, field.type)
            if before is not None and before != field.type:
                numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (before, field.type))
                types[field.name] = pa.float64() if numbers else None
    return pa.schema([pa.field(name, kind) for name, kind in types.items() if kind is not None])
