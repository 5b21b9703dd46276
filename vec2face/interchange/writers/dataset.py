"""Write a dataset in the layout of this toolkit: archives with manifests, and a table with a row per image.

`dataset.json` and the identity bank are not this writer's; see `vec2face.interchange.derive`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vec2face.errors import DatasetError
from vec2face.fileio.atomic import atomic_write
from vec2face.fileio.tar import write_tar
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.manifest import KEPT, Samples, ShardManifest, write_manifest
from vec2face.generation.metadata import SCHEMA
from vec2face.interchange.image_kinds import kind_of
from vec2face.interchange.selection import Item
from vec2face.interchange.workplace import WORK
from vec2face.interchange.writers.base import SetFacts, SetWriter
from vec2face.interchange.writers.members import key_of, members, text

_SOURCE_KEY = pa.field("source_key", pa.string(), metadata={"meaning": "name of the image in the set it comes from"})


class DatasetWriter(SetWriter):
    """A shard a block: rows of the table, archive and, last, manifest."""

    format = "a dataset"
    takes_features = True
    takes_facts = True

    def __init__(self, folder: Path, facts: SetFacts, *, block: int, fingerprint: str) -> None:
        """Take the folder, which exists.

        Args:
            folder, facts, block: see `SetWriter`.
            fingerprint: of what decides the dataset's bytes; manifests carry it.
        """
        super().__init__(folder, facts, block=block)
        self._dataset, self._plan = DatasetFolder(folder), fingerprint
        # In the order of the schema of generated datasets, so that what reads those finds its columns.
        extra = [field for field in facts.columns if field.name not in SCHEMA.names]
        self._schema = pa.schema([*SCHEMA, *extra, _SOURCE_KEY])

    @property
    def shards(self) -> int:
        """Number of shards of the whole dataset."""
        return -(-self.facts.images // self.block)

    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        for index in range(-(-images // self.block)):
            if not (self._dataset.manifest(index).is_file() and self._rows(index).is_file()):
                raise DatasetError(
                    f"{self._dataset.archive(index)} is incomplete; remove {self.folder} and run the command again."
                )
        return images

    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        shard = start // self.block
        rows: list[dict[str, Any]] = []
        sha256 = write_tar(self._dataset.archive(shard), self._members(items, shard, rows))
        self._rows(shard).parent.mkdir(exist_ok=True)
        with atomic_write(self._rows(shard)) as stream:
            pq.write_table(pa.Table.from_pylist(rows, schema=self._schema), stream, compression="zstd")
        manifest = ShardManifest(
            shard=shard,
            plan=self._plan,
            count=len(rows),
            rejects=0,
            size=self._dataset.archive(shard).stat().st_size,
            sha256=sha256,
            samples=Samples(
                **{name: tuple(row[name] for row in rows) for name in Samples.model_fields if name in SCHEMA.names}
            ),
        )
        write_manifest(self._dataset.manifest(shard), manifest)
        return {}

    def finish(self) -> None:
        with (
            atomic_write(self._dataset.metadata) as stream,
            pq.ParquetWriter(stream, self._schema, compression="zstd") as writer,
        ):
            for shard in range(self.shards):
                rows = pq.read_table(self._rows(shard), schema=self._schema)
                writer.write_table(rows, row_group_size=max(1, len(rows)))

    def _rows(self, shard: int) -> Path:
        return self.folder / WORK / "rows" / f"{shard:06d}.parquet"

    def _members(self, items: Iterator[Item], shard: int, rows: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
        for item in items:
            suffix = kind_of(item.record.data, where=item.record.where).suffix
            row = {
                **dict.fromkeys(self._schema.names),
                **{name: item.facts[name] for name in self.facts.columns.names if name in item.facts},
                "key": key_of(item),
                "shard": shard,
                "identity": item.label,
                "identity_name": text(item.person),
                "image": item.number,
                "status": KEPT,
                "source_key": text(item.record.key),
            }
            rows.append(row)
            yield from members(item, suffix)
