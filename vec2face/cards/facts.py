"""Facts as templates see them: every one that is asked for must be there."""

from collections.abc import Iterator, Mapping
from typing import Any

from vec2face.errors import CardError


class Facts(Mapping[str, Any]):
    """A JSON object that knows where it stands, so that a missing fact is named in full, as "dataset.seed".

    Objects inside it, also inside lists, are `Facts` too. Reading an absent key raises `CardError`, so a template can
    neither pass over it nor print a blank.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    def __getitem__(self, key: str) -> Any:
        name = f"{self._path}.{key}" if self._path else key
        if key not in self._values:
            raise CardError(f"the fact {name!r} is missing from the audit; run `vec2face audit` on the dataset again.")
        return _wrapped(self._values[key], name)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def plain(self) -> dict[str, Any]:
        """The JSON object itself."""
        return dict(self._values)


def _wrapped(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return Facts(value, name)
    if isinstance(value, list | tuple):
        return [_wrapped(item, f"{name}[{number}]") for number, item in enumerate(value)]
    return value
