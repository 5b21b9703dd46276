"""Conversion tables between the key names of published checkpoints and ours: one rule a line, read both ways."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vec2face.errors import WeightsError

LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

# Makes the value of a key that our networks do not hold, so that an exported file has every key its own code asks for.
Filler = Callable[[], Tensor]


@dataclass(frozen=True)
class WithLeadingAxis:
    """Ours holds one axis of length 1 in front of the published tensor's."""

    ours: str


class KeyTable:
    """An invertible renaming of checkpoint keys.

    Args:
        rules: published pattern -> our pattern. `{name}` in both stands for the same whole number, and a final `.*`
            for the leaf (`weight`, `bias` or a BatchNorm's statistics). A value of `WithLeadingAxis` also reshapes.
        dropped: keys that take no part in the network's output and are left out on purpose, each with what an export
            writes in its place.
    """

    def __init__(
        self, rules: Mapping[str, str | WithLeadingAxis], *, dropped: Mapping[str, Filler] | None = None
    ) -> None:
        self.dropped = dict(dropped or {})
        self._forward: list[tuple[re.Pattern[str], str, bool]] = []
        self._backward: list[tuple[re.Pattern[str], str, bool]] = []
        for foreign, target in rules.items():
            axis = isinstance(target, WithLeadingAxis)
            ours = target.ours if isinstance(target, WithLeadingAxis) else target
            self._forward.append((_pattern(foreign), _template(ours), axis))
            self._backward.append((_pattern(ours), _template(foreign), axis))

    def our_key(self, foreign: str) -> str | None:
        """Return our name of a published key; None if the table does not know it or drops it."""
        found = _rename(self._forward, foreign)
        return found[0] if found else None

    def foreign_key(self, ours: str) -> str | None:
        """Return the published name of one of our keys; None if the table does not know it."""
        found = _rename(self._backward, ours)
        return found[0] if found else None

    def to_ours(self, state: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
        """Rename published weights to ours.

        Raises:
            WeightsError: names every key that the table neither renames nor drops.
        """
        renamed: dict[str, Tensor] = {}
        unknown = []
        for key, tensor in state.items():
            found = _rename(self._forward, key)
            if found:
                renamed[found[0]] = tensor[None] if found[1] else tensor
            elif key not in self.dropped:
                unknown.append(key)
        if unknown:
            raise WeightsError(f"{where} holds keys that this format does not know: {name_some(unknown)}.")
        return renamed

    def to_foreign(self, state: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
        """Rename our weights to the published names, and add the keys that the published code asks for besides.

        Raises:
            WeightsError: names every key that has no published name.
        """
        renamed = {key: fill() for key, fill in self.dropped.items()}
        unknown = []
        for key, tensor in state.items():
            found = _rename(self._backward, key)
            if found:
                renamed[found[0]] = tensor[0] if found[1] else tensor
            else:
                unknown.append(key)
        if unknown:
            raise WeightsError(f"{where} holds keys that this format has no name for: {name_some(unknown)}.")
        return renamed


def zeros(*shape: int) -> Filler:
    """A filler of float32 zeros."""
    return lambda: torch.zeros(shape)


def name_some(keys: list[str], limit: int = 8) -> str:
    """List keys in order for a message; of a long list the first few and how many more there are."""
    keys = sorted(keys)
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(keys[:limit]) + more if keys else "nothing"


def _rename(rules: list[tuple[re.Pattern[str], str, bool]], key: str) -> tuple[str, bool] | None:
    for pattern, template, axis in rules:
        match = pattern.fullmatch(key)
        if match:
            return template.format(**match.groupdict()), axis
    return None


def _pattern(rule: str) -> re.Pattern[str]:
    """Turn a rule's side into a regular expression."""
    leaf = "|".join(LEAVES)
    text = re.escape(rule)
    text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[0-9]+)", text)
    if text.endswith(r"\.\*"):
        text = text.removesuffix(r"\*") + f"(?P<leaf>{leaf})"
    return re.compile(text)


def _template(rule: str) -> str:
    return rule.removesuffix("*") + "{leaf}" if rule.endswith(".*") else rule
