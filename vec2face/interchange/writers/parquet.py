"""Write Hugging Face parquet: `data/train-00000-of-00004.parquet` with an Image feature, labels and facts.

`datasets.load_dataset(FOLDER)` finds the files and their features: the description it looks for stands in the schema.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vec2face.errors import DatasetError
from vec2face.fileio.atomic import atomic_write
from vec2face.interchange.image_kinds import kind_of
from vec2face.interchange.selection import Item
from vec2face.interchange.writers.base import SetFacts, SetWriter
from vec2face.interchange.writers.members import key_of, text

# Images of one row group, the least that is read at once.
_GROUP = 500
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_DTYPES = {"bool": "bool", "float": "float32", "double": "float64"}


class ParquetWriter(SetWriter):
    """A file a block; each stands whole under its name or not at all."""

    format = "parquet"
    takes_features = True
    takes_facts = True

    def __init__(self, folder: Path, facts: SetFacts, *, block: int) -> None:
        super().__init__(folder, facts, block=block)
        fields = [pa.field("image", _IMAGE), pa.field("label", pa.int64())]
        fields += [pa.field(name, pa.string()) for name in ("identity_name", "key", "source_key")]
        if facts.feature_dim is not None:
            fields.append(pa.field("feature", pa.list_(pa.float32())))
        fields += list(facts.columns)
        described = {"info": {"features": {field.name: _feature(field.type) for field in fields}}}
        self._schema = pa.schema(fields, metadata={"huggingface": json.dumps(described)})

    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        for index in range(-(-images // self.block)):
            if not self._file(index).is_file():
                raise DatasetError(f"{self._file(index)} is missing; remove {self.folder} and run the command again.")
        return images

    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        # Images are compressed already.
        compression = {field.name: "zstd" for field in self._schema} | {"image.bytes": "none"}
        with (
            atomic_write(self._file(start // self.block)) as stream,
            pq.ParquetWriter(stream, self._schema, compression=compression) as writer,
        ):
            while group := list(islice(items, _GROUP)):
                writer.write_table(pa.Table.from_pylist([self._row(item) for item in group], schema=self._schema))
        return {}

    def finish(self) -> None:
        """Nothing is left to do: every file is complete."""

    def _file(self, index: int) -> Path:
        files = -(-self.facts.images // self.block)
        return self.folder / "data" / f"train-{index:05d}-of-{files:05d}.parquet"

    def _row(self, item: Item) -> dict[str, Any]:
        record, key = item.record, key_of(item)
        suffix = kind_of(record.data, where=record.where).suffix
        row: dict[str, Any] = {
            **{name: item.facts.get(name) for name in self.facts.columns.names},
            "image": {"bytes": record.data, "path": f"{key}.{suffix}"},
            "label": item.label,
            "identity_name": text(item.person),
            "key": key,
            "source_key": text(record.key),
        }
        if self.facts.feature_dim is not None and record.feature is not None:
            row["feature"] = record.feature.tolist()
        return row


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """Describe a column as the `datasets` library does."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"_type": "Sequence", "feature": _feature(kind.value_type)}
    return {"_type": "Value", "dtype": _DTYPES.get(str(kind), str(kind))}
