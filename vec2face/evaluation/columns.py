"""Fill the measured columns of `metadata.parquet`, a row group at a time."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vec2face.errors import DatasetError
from vec2face.evaluation.measure import Measurement
from vec2face.fileio.atomic import atomic_write

CONSISTENT = "consistent"
INCONSISTENT = "inconsistent"
NEARER_TO_ANOTHER = "nearer to another identity"
NOT_MEASURED = "not measured"

_FIELDS = tuple(
    pa.field(name, kind, metadata={"meaning": meaning})
    for name, kind, meaning in (
        ("cosine_to_vector", pa.float32(), "cosine to the vector of its identity; null in another feature space"),
        ("cosine_to_centre", pa.float32(), "cosine to the centre of the other images of its identity"),
        ("nearest_identity", pa.int32(), "identity whose centre is nearest; null where not compared"),
        ("audit_status", pa.string(), f"{CONSISTENT}, {INCONSISTENT}, {NEARER_TO_ANOTHER} or {NOT_MEASURED}"),
    )
)


def write_measured_columns(path: Path, measurement: Measurement) -> None:
    """Rewrite the table atomically with the measured columns; a table that has them already gets new values.

    What each column means stands in the table's own field metadata; rows that were not measured get nulls.

    Raises:
        DatasetError: the table cannot be read, or lacks the columns identity and image.
        StorageError: it cannot be written.
    """
    columns = _MeasuredColumns(measurement)
    try:
        with pq.ParquetFile(path) as table:
            names = [field.name for field in _FIELDS]
            kept = [field for field in table.schema_arrow if field.name not in names]
            schema = pa.schema([*kept, *_FIELDS], metadata=table.schema_arrow.metadata)
            with atomic_write(path) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                for group in range(table.num_row_groups):
                    rows = table.read_row_group(group, columns=[field.name for field in kept])
                    measured = columns.of(rows["identity"].to_numpy(), rows["image"].to_numpy())
                    arrays = [*(rows[field.name] for field in kept), *measured]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=max(1, len(rows)))
    except (pa.ArrowInvalid, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{path} is not a dataset's table ({reason}); generate the dataset again to mend it."
        ) from None


class _MeasuredColumns:
    def __init__(self, measurement: Measurement) -> None:
        self._keys = _keys(measurement.embedded.identity, measurement.embedded.image)
        self._measurement = measurement
        people, images = measurement.people, measurement.images
        own = np.repeat(np.arange(len(people)), people.counts)
        unmeasured = np.isnan(images.to_centre)
        astray = (images.nearest >= 0) & (images.nearest != own)
        self._status = np.select(
            [unmeasured, astray, images.to_centre < measurement.threshold],
            [NOT_MEASURED, NEARER_TO_ANOTHER, INCONSISTENT],
            CONSISTENT,
        )
        # -1, not compared, picks an identity too; it is masked where it is used.
        self._nearest = people.identities[images.nearest]

    def of(self, identity: NDArray[np.integer], image: NDArray[np.integer]) -> list[pa.Array]:
        wanted = _keys(identity, image)
        found = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        absent = self._keys[found] != wanted
        measurement = self._measurement
        to_centre = measurement.images.to_centre[found]
        none = np.full(len(found), np.nan, np.float32)
        to_vector = none if measurement.to_vector is None else measurement.to_vector[found]
        return [
            pa.array(to_vector, pa.float32(), mask=absent | np.isnan(to_vector)),
            pa.array(to_centre, pa.float32(), mask=absent | np.isnan(to_centre)),
            pa.array(self._nearest[found], pa.int32(), mask=absent | (measurement.images.nearest[found] < 0)),
            pa.array(np.where(absent, NOT_MEASURED, self._status[found]).tolist(), pa.string()),
        ]


def _keys(identity: NDArray[np.integer], image: NDArray[np.integer]) -> NDArray[np.int64]:
    return (identity.astype(np.int64) << 32) | image.astype(np.int64)
