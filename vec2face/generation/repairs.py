"""What repairs did to a dataset's identities, and which plan each shard was rendered under since. No torch here.

A repair gives some identities other vectors, so the bank's digest changes, and with it the plan's fingerprint. Shards
without such an identity keep their bytes; they answer to the plan as it was when they were last touched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from vec2face.config.base import Schema
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import fingerprint

BANK = "identities (sha256)"
IDENTITIES_PER_SHARD = "shards.identities_per_shard"


class Replacement(Schema):
    """One identity that got another vector."""

    identity: int = Field(ge=0, description="index of the identity")
    candidate: int = Field(ge=0, description="index of the candidate in the round's stream that it became")
    reasons: tuple[str, ...] = Field(min_length=1, description="what the audit held against the former one")


class RepairRound(Schema):
    """All that one round replaced."""

    bank_before: str = Field(description="SHA-256 of ids and vectors before the round")
    judges: tuple[dict[str, Any], ...] = Field(description="name, sha256 and threshold of each embedder that judged")
    replaced: tuple[Replacement, ...] = Field(min_length=1, description="in rising order of identity")


def read_rounds(description: Mapping[str, Any]) -> tuple[RepairRound, ...]:
    """Return the rounds that a `dataset.json` records, none where it was never repaired.

    Raises:
        DatasetError: they are damaged.
    """
    try:
        return tuple(RepairRound.model_validate(round_) for round_ in description.get("repairs", ()))
    except (ValidationError, TypeError):
        raise DatasetError("dataset.json is damaged: its repairs cannot be read; restore it from a copy.") from None


class ShardPlans:
    """The fingerprint that each shard's manifest must carry.

    Args:
        determinants: of the plan as it is now (`Plan.determinants`).
        rounds: the repairs so far, in order.
    """

    def __init__(self, determinants: Mapping[str, Any], rounds: Sequence[RepairRound]) -> None:
        banks = [*(round_.bank_before for round_ in rounds), determinants[BANK]]
        self._fingerprints = [fingerprint({**determinants, BANK: bank}) for bank in banks]
        self._last_touched = {
            replacement.identity // determinants[IDENTITIES_PER_SHARD]: number
            for number, round_ in enumerate(rounds, start=1)
            for replacement in round_.replaced
        }

    def fingerprint(self, shard: int) -> str:
        """Return the fingerprint of the plan under which the shard's present identities were complete."""
        return self._fingerprints[self._last_touched.get(shard, 0)]
