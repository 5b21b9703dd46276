"""The errors of group probes as Markdown, for whoever judges their shares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.group_probes import GroupProbe, GroupProbes


def describe_errors(probes: GroupProbes) -> str:
    """Return a table for each probe: of each group's held-out faces, how many per cent are counted for which group."""
    parts = []
    for probe in probes.probes:
        parts.append(f"{probe.name}, faces held out ({probe.confusion.sum():,}):\n\n{_table(probe, probe.confusion)}")
        if probe.further is not None:
            parts.append(
                f"{probe.name}, further faces ({probe.further.sum():,}), which were only measured on:\n\n"
                f"{_table(probe, probe.further)}"
            )
    return "\n\n".join(parts) + "\n"


def _table(probe: GroupProbe, confusion: NDArray[np.int64]) -> str:
    lines = [_row(["labelled", "faces", *(f"counted as {group}" for group in probe.groups)])]
    lines.append("|" + "---|" * (len(probe.groups) + 2))
    for group, counts in zip(probe.groups, confusion, strict=True):
        faces = int(counts.sum())
        shares = [f"{count / faces:.1%}".replace("%", " %") if faces else "" for count in counts]
        lines.append(_row([group, f"{faces:,}", *shares]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
