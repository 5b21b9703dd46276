"""The columns that steered datasets have besides, in manifests, `KEY.json` and `metadata.parquet`. No torch here."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

_MEASURED = "measured_"


def steered_fields(attributes: Iterable[str]) -> list[pa.Field]:
    """Return the fields of a steered dataset's table, in order, each with its meaning."""
    fields = [
        _field("steering", pa.string(), "'converged', 'capped' (targets missed) or 'rejected' (identity lost)"),
        _field("steering_reason", pa.string(), "what was missed; null for a converged image"),
        _field("steering_passes", pa.int32(), "passes through the generator, all draws of the image together"),
        _field("steering_gradients", pa.int32(), "how many of them also went back, for a gradient"),
        _field("redraws", pa.int32(), "draws of the image that were given up before this one"),
        _field("steering_identity", pa.float64(), "cosine of the delivered picture to the vector of its identity"),
    ]
    for name in attributes:
        fields += [
            _field(f"requested_{name}", pa.float64(), f"the {name} asked for; null where any in an interval was"),
            _field(f"requested_{name}_low", pa.float64(), f"least {name} accepted; null: no limit"),
            _field(f"requested_{name}_high", pa.float64(), f"greatest {name} accepted; null: no limit"),
            _field(f"{_MEASURED}{name}", pa.float64(), f"the {name} of the delivered picture, by the estimator"),
        ]
    return fields


def attributes_of(columns: Mapping[str, object]) -> list[str]:
    """Return the attributes that a manifest's or a table's columns are of."""
    return [name.removeprefix(_MEASURED) for name in columns if name.startswith(_MEASURED)]


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})
