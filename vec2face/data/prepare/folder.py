"""The prepared folder: its layout, what a finished shard says of itself, and whether a run belongs to it.

```
PREPARED/
  prepare.json            what decides the bytes: settings, digests of source, embedder and detector; written first
  shards/000000.tar ...   KEY.jpg, KEY.cls, KEY.json, KEY.npy
  shards/000000.parquet   a row per image of the source behind the shard, dropped ones with their reason
  shards/000000.json      manifest: counts and digests; written last of its shard
  dropped.csv             every dropped image and why
  kept.jpg, dropped.jpg   contact sheets
  prepared.json           counts, reasons, digests; written last
```
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from vec2face.config.base import Schema
from vec2face.data.readers.recognise import PREPARED_NAME
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import atomic_write, fingerprint, write_json

PLAN_FORMAT = "vec2face-prepare/1"

TABLE = pa.schema(
    [
        pa.field("index", pa.int64(), metadata={"meaning": "position in the source"}),
        pa.field("source", pa.string(), metadata={"meaning": "name in the source"}),
        pa.field("person", pa.string(), metadata={"meaning": "name of the person, if known"}),
        pa.field("label", pa.int64(), metadata={"meaning": "number of the person in the source, if known"}),
        pa.field("reason", pa.string(), metadata={"meaning": "why the image was dropped; empty if it was kept"}),
        pa.field("detail", pa.string(), metadata={"meaning": "what was measured, and the limit"}),
        pa.field("sha256", pa.binary(32), metadata={"meaning": "digest of the image in the source"}),
        pa.field("faces", pa.int32(), metadata={"meaning": "faces found by the detector"}),
        pa.field("size", pa.float32(), metadata={"meaning": "side of the crop in the photo, pixels"}),
        pa.field("sharpness", pa.float32(), metadata={"meaning": "variance of the Laplacian, grey levels squared"}),
        pa.field("brightness", pa.float32(), metadata={"meaning": "mean grey level, 0 to 255"}),
    ]
)


class ShardManifest(Schema):
    """What a finished shard holds."""

    shard: int = Field(ge=0, description="index of the shard")
    plan: str = Field(description="fingerprint of the settings it was made with")
    kept: int = Field(ge=0, description="images in the archive")
    dropped: dict[str, int] = Field(description="images left out, by reason")
    size: int = Field(ge=0, description="bytes of the archive")
    sha256: str = Field(description="digest of the archive")


@dataclass(frozen=True)
class PreparedFolder:
    """Paths inside a prepared folder, and what stands there."""

    root: Path

    @property
    def plan(self) -> Path:
        """What decides the folder's bytes."""
        return self.root / "prepare.json"

    @property
    def index(self) -> Path:
        """The finished folder's description."""
        return self.root / PREPARED_NAME

    @property
    def dropped(self) -> Path:
        """The list of dropped images."""
        return self.root / "dropped.csv"

    @property
    def vectors(self) -> Path:
        """Working file of the search for near duplicates; gone when the run is over."""
        return self.root / ".vectors.npy"

    def sheet(self, name: str) -> Path:
        """A contact sheet, "kept" or "dropped"."""
        return self.root / f"{name}.jpg"

    def archive(self, shard: int) -> Path:
        """The images of a shard."""
        return self.root / "shards" / f"{shard:06d}.tar"

    def table(self, shard: int) -> Path:
        """A row per image of the source behind a shard."""
        return self.root / "shards" / f"{shard:06d}.parquet"

    def manifest(self, shard: int) -> Path:
        """What says that a shard is finished."""
        return self.root / "shards" / f"{shard:06d}.json"

    def begin(self, determinants: dict[str, Any]) -> str:
        """Write the plan, or check it against the one that is there, and return its fingerprint.

        Raises:
            DatasetError: the folder holds other files, or was begun with other settings (each is named).
        """
        wanted = json.loads(json.dumps(determinants))
        plan = fingerprint(wanted)
        if not self.plan.exists():
            if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
                raise DatasetError(f"{self.root} holds something else; choose an empty or a new folder.")
            write_json(self.plan, {"format": PLAN_FORMAT, "fingerprint": plan, "determinants": wanted})
            return plan
        try:
            there = json.loads(self.plan.read_text(encoding="utf-8"))
            format, known = there["format"], there["determinants"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DatasetError(f"{self.plan} is damaged; prepare the faces again into an empty folder.") from None
        if format != PLAN_FORMAT:
            raise DatasetError(f"{self.plan} is of format {format!r}, but this version reads {PLAN_FORMAT!r}.")
        if differing := list(_differences(known, wanted)):
            raise DatasetError(
                f"{self.root} was begun with other settings ({'; '.join(differing[:6])}); give those again to go on, "
                "or choose another folder."
            )
        return plan

    def finished(self, shard: int, plan: str) -> ShardManifest | None:
        """Return a shard's manifest if the shard is finished, under this plan, and its archive of the right size."""
        try:
            manifest = ShardManifest.model_validate_json(self.manifest(shard).read_bytes())
            whole = self.archive(shard).stat().st_size == manifest.size and self.table(shard).is_file()
        except (OSError, ValidationError):
            return None
        return manifest if whole and manifest.plan == plan else None

    def write_table(self, shard: int, rows: list[dict[str, Any]]) -> None:
        """Write a shard's table atomically. Raises `StorageError`."""
        with atomic_write(self.table(shard)) as stream:
            pq.write_table(pa.Table.from_pylist(rows, schema=TABLE), stream, compression="zstd")

    def read_table(self, shard: int) -> list[dict[str, Any]]:
        """Read a shard's table. Raises `DatasetError` if it is damaged."""
        path = self.table(shard)
        try:
            rows: list[dict[str, Any]] = pq.read_table(path, schema=TABLE).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(
                f"{path} is damaged ({str(error).splitlines()[0]}); remove its manifest and run the command again."
            ) from None
        return rows


def _differences(known: Any, wanted: Any, name: str = "") -> Iterator[str]:
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in sorted(known.keys() | wanted.keys()):
            yield from _differences(known.get(key), wanted.get(key), f"{name}.{key}" if name else key)
    elif known != wanted:
        yield f"{name}: {_short(known)} there, {_short(wanted)} now"


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) > 40 else text
