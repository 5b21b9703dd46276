"""Identities that keep apart, by either method, with progress that people can read."""

from typing import Literal

from vec2face.fileio.partial import PartialWork
from vec2face.identities.bank import IdentityBank
from vec2face.identities.packing import pack
from vec2face.identities.sampling import sample
from vec2face.identities.sources import CandidateSource
from vec2face.progress import ProgressReporter

Method = Literal["pack", "reject"]


def draw_apart(
    source: CandidateSource,
    *,
    method: Method,
    count: int,
    ceiling: float,
    seed: int,
    max_candidates: int | None = None,
    partial: PartialWork | None = None,
    progress: ProgressReporter,
) -> IdentityBank:
    """Sample by rejection (`sample`) or packing (`pack`); arguments and errors are theirs.

    Args:
        method: how the identities are kept apart.
        max_candidates: of rejection alone.
        progress: receives the stage "choosing identities" or "packing identities".
    """
    done = 0
    if method == "reject":
        progress.begin("choosing identities", total=count, unit="identities")

        def accepted(fitting: int, tried: int) -> None:
            nonlocal done
            progress.advance(fitting - done, note=f"{tried:,} candidates tried")
            done = fitting

        return sample(
            source,
            count=count,
            ceiling=ceiling,
            seed=seed,
            max_candidates=max_candidates,
            partial=partial,
            progress=accepted,
        )
    begun = False
    first = 0

    def packed(steps: int, left: int) -> None:
        nonlocal begun, first, done
        if not begun:
            begun, first = True, left
            progress.begin("packing identities", total=left, unit="close pairs")
        apart = max(0, first - left)
        progress.advance(apart - done, note=f"{left:,} left after {steps} steps")
        done = apart

    return pack(source, count=count, ceiling=ceiling, seed=seed, partial=partial, progress=packed)
