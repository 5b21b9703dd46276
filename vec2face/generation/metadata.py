"""`metadata.parquet`: a row per image, streamed from the shards' manifests. No torch here.

Measured columns are added later, by the audit.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from vec2face.fileio.atomic import atomic_write
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.manifest import ShardManifest, read_manifest
from vec2face.generation.steered_columns import attributes_of, steered_fields

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), metadata={"meaning": "name of the image inside its shard"}),
        pa.field("shard", pa.int32(), metadata={"meaning": "index of the shard"}),
        pa.field("identity", pa.int32(), metadata={"meaning": "index of the identity in the bank, and class label"}),
        pa.field("identity_name", pa.string(), metadata={"meaning": "id of the identity in the bank"}),
        pa.field("image", pa.int32(), metadata={"meaning": "index of the image within its identity"}),
        pa.field("seed", pa.uint64(), metadata={"meaning": "seed of the image's perturbation"}),
        pa.field("sigma", pa.float32(), metadata={"meaning": "strength of the perturbation, in sigma units"}),
        pa.field("mask_rate", pa.float32(), metadata={"meaning": "share of face tokens that were masked"}),
        pa.field("status", pa.string(), metadata={"meaning": "'kept', or why the image is not in the shard"}),
    ]
)

# Of datasets with poses alone.
POSE_SCHEMA = pa.schema(
    [
        pa.field("view", pa.int32(), metadata={"meaning": "index of the recipe's view"}),
        pa.field("view_yaw", pa.float32(), metadata={"meaning": "of the landmarks shown to the generator, degrees"}),
        pa.field("view_pitch", pa.float32(), metadata={"meaning": "the same; null for a landmark picture"}),
        pa.field("view_roll", pa.float32(), metadata={"meaning": "the same"}),
    ]
)


def write_metadata(folder: DatasetFolder, shards: int, on_shard: Callable[[], None]) -> int:
    """Write the table atomically, one row group a shard, and return its number of rows.

    Args:
        folder: the dataset, all of whose shards are finished.
        shards: their number.
        on_shard: called after each.

    Raises:
        DatasetError: a manifest cannot be read.
        StorageError: the table cannot be written.
    """
    rows = 0
    schema = _schema(read_manifest(folder.manifest(0)))
    with atomic_write(folder.metadata) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for index in range(shards):
            table = _table(read_manifest(folder.manifest(index)), schema)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
            on_shard()
    return rows


def metadata_problem(folder: DatasetFolder, rows: int) -> str | None:
    """Say what is wrong with the table, or None if it has `rows` rows and every column of `SCHEMA`."""
    try:
        with folder.metadata.open("rb") as stream:
            facts = pq.read_metadata(stream)
    except FileNotFoundError:
        return "missing"
    except (OSError, pa.ArrowException) as error:
        return f"unreadable ({str(error).splitlines()[0]})"
    columns = set(facts.schema.names)
    if absent := [name for name in SCHEMA.names if name not in columns]:
        return f"without the column {absent[0]}"
    if facts.num_rows != rows:
        return f"of {facts.num_rows} rows instead of {rows}"
    return None


def _schema(manifest: ShardManifest) -> pa.Schema:
    """Return the fields of a dataset's table by one of its manifests."""
    posed = [] if manifest.samples.view is None else list(POSE_SCHEMA)
    steered = [] if manifest.steered is None else steered_fields(attributes_of(manifest.steered))
    return pa.schema([*SCHEMA, *posed, *steered])


def _table(manifest: ShardManifest, schema: pa.Schema) -> pa.Table:
    columns = {**manifest.samples.model_dump(), **(manifest.steered or {})}
    columns["shard"] = [manifest.shard] * len(columns["key"])
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)
