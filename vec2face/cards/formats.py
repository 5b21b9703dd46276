"""How numbers and names are written in cards and reports."""

import json
from collections.abc import Callable
from typing import Any

import yaml as pyyaml

from vec2face.cards.facts import Facts

NOT_MEASURED = "not measured"

# Upper bounds of the size categories that the Hugging Face hub knows.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def integer(value: int) -> str:
    """1234567 -> "1,234,567"."""
    return f"{value:,}"


def counted(value: int, one: str, several: str | None = None) -> str:
    """Write a number with its noun: 1 -> "1 round", 2 -> "2 rounds"; `several` is the plural where it is no added s."""
    return f"{integer(value)} {one if value == 1 else several or f'{one}s'}"


def decimal(value: float, digits: int = 3) -> str:
    """0.98765 -> "0.988"."""
    return f"{value:.{digits}f}"


def percent(value: float, digits: int = 2) -> str:
    """0.98765 -> "98.77 %"; a share that is not 1 never reads as 100, nor one that is not 0 as 0."""
    text = f"{100 * value:.{digits}f}"
    if text == f"{100:.{digits}f}" and value < 1:
        text = f"> {100 - 10**-digits:.{digits}f}"
    if text == f"{0:.{digits}f}" and value > 0:
        text = f"< {10**-digits:.{digits}f}"
    return f"{text} %"


def measured(value: float | None, style: str = "decimal", digits: int | None = None) -> str:
    """Write a number in the style "decimal", "percent" or "integer", or "not measured" for None."""
    if value is None:
        return NOT_MEASURED
    if style == "integer":
        return integer(int(value))
    write = {"decimal": decimal, "percent": percent}[style]
    return write(value) if digits is None else write(value, digits)


def rounded(value: float | None) -> str:
    """A number of any size to three figures, 0.012345 -> "0.0123", 123.456 -> "123"; "not measured" for None."""
    return NOT_MEASURED if value is None else f"{value:.3g}"


def between(limits: Facts) -> str:
    """{"min": 7, "max": 8} -> "7 to 8"; one number where both are equal."""
    low, high = limits["min"], limits["max"]
    return integer(low) if low == high else f"{integer(low)} to {integer(high)}"


def megabytes(value: int) -> str:
    """Bytes -> "12.3 MB"."""
    return f"{value / 1e6:,.1f} MB"


def size_category(images: int) -> str:
    """The hub's size category of so many images."""
    return next((name for bound, name in _SIZES if images < bound), "100M<n<1B")


def quoted(value: str) -> str:
    """Text as a quoted YAML scalar (a JSON string is one)."""
    return json.dumps(value, ensure_ascii=False)


def yaml(value: Facts) -> str:
    """A JSON object as YAML, in the order it has, without the keys that are null."""
    text: str = pyyaml.safe_dump(_without_none(value.plain()), sort_keys=False, allow_unicode=True, width=100)
    return text.rstrip()


def digest(value: str) -> str:
    """The first 16 digits of a SHA-256."""
    return value[:16]


def cell(value: Any) -> str:
    """Text that stands in a Markdown table or sentence as it is."""
    text = " ".join(str(value).split())
    for special in "\\|<*_`[":
        text = text.replace(special, f"\\{special}")
    return text


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value]
    return value


FILTERS: dict[str, Callable[..., str]] = {
    writer.__name__: writer
    for writer in (
        between,
        counted,
        decimal,
        digest,
        integer,
        measured,
        megabytes,
        percent,
        quoted,
        rounded,
        size_category,
        yaml,
    )
}
"""What every template may call."""
