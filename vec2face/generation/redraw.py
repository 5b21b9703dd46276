"""Give identities that failed other vectors, in a dataset's bank and description; the shards are rendered later.

Identity i of round r becomes a candidate of the stream keyed by (seed, r), or the next unused vector of a file. Which
identities were replaced, why and by which candidate stands in `dataset.json`, so that a lost bank is made again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vec2face.config.generation import GenerateRecipe
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import write_json
from vec2face.fileio.location import Location
from vec2face.generation.bank_digest import content_digest
from vec2face.generation.folder import DatasetFolder, holds_plan
from vec2face.generation.hold import exclusive
from vec2face.generation.plan import BankFacts, Plan
from vec2face.generation.repairs import RepairRound, Replacement
from vec2face.identities import IdentityBank
from vec2face.identities.redrawing import Redrawn, redraw
from vec2face.identities.sources import CandidateSource
from vec2face.seeding import seed_for

Reasons = Mapping[int, Sequence[str]]


def replace_identities(
    plan: Plan,
    out: Location,
    *,
    bank: IdentityBank,
    source: CandidateSource,
    failed: Reasons,
    judges: Sequence[Mapping[str, Any]],
) -> tuple[Plan, IdentityBank]:
    """Replace failed identities in a finished dataset, and return its plan and bank as they are then.

    `vec2face.generation.run.generate` then renders the shards that hold them; those others keep their bytes. May be
    killed at any moment: `vec2face.generation.inputs.prepare` finds the dataset either before or after the round.

    Args:
        plan, bank: from `prepare`, whose dataset stands in `out`.
        source: where the identities came from.
        failed: identity -> what is held against it; not empty.
        judges: name, sha256 and threshold of each embedder that judged.

    Raises:
        InputError: the source has no room for as many.
        DatasetError: the folder holds another dataset, or another run is writing to it.
        StorageError: it cannot be written.
    """
    order = sorted(failed)
    found = _redraw(bank, plan.recipe, source, order, plan.repairs)
    replaced = [
        Replacement(identity=identity, candidate=int(candidate), reasons=tuple(failed[identity]))
        for identity, candidate in zip(order, found.candidates, strict=True)
    ]
    round_ = RepairRound(
        bank_before=plan.bank.sha256, judges=tuple(dict(judge) for judge in judges), replaced=tuple(replaced)
    )
    new_bank = _replaced(bank, plan.recipe, source, found, round_, plan.repairs)
    facts = BankFacts(sha256=content_digest(new_bank), count=len(new_bank), dim=new_bank.width)
    new_plan = replace(plan, bank=facts, repairs=(*plan.repairs, round_))
    folder = DatasetFolder(out)
    with exclusive(folder):
        if not holds_plan(folder, plan):
            raise DatasetError(f"{out} holds no dataset of this plan; generate it first.")
        # The table goes first: what it says of measurements and names is of the former people.
        folder.metadata.unlink(missing_ok=True)
        write_json(folder.description, new_plan.describe())
        new_bank.save(folder.identities)
    return new_plan, new_bank


def redo(
    bank: IdentityBank,
    recipe: GenerateRecipe,
    source: CandidateSource,
    *,
    done: Sequence[RepairRound],
    rounds: Sequence[RepairRound],
) -> IdentityBank:
    """Replace again what recorded rounds replaced.

    Args:
        bank: as it was before the first of `rounds`.
        done: the rounds before them.

    Raises:
        InputError: the source has changed and no longer has room.
    """
    for number, round_ in enumerate(rounds):
        before = [*done, *rounds[:number]]
        found = _redraw(bank, recipe, source, [part.identity for part in round_.replaced], before)
        bank = _replaced(bank, recipe, source, found, round_, before)
    return bank


def _redraw(
    bank: IdentityBank,
    recipe: GenerateRecipe,
    source: CandidateSource,
    identities: list[int],
    before: Sequence[RepairRound],
) -> Redrawn:
    gone = set(identities)
    staying = [row for row in range(len(bank)) if row not in gone]
    section = recipe.identities
    sampled = section.sampled_from is not None
    return redraw(
        source,
        bank.vectors[staying],
        count=len(identities),
        # The vectors of a ready bank are taken as they are; only a copy of one that stays is passed over.
        ceiling=section.sampling()[1] if sampled else 1.0,
        seed=seed_for(recipe.seed, "repair", len(before) + 1) >> 1,
        first=0 if source.limit is None else _first_unused(bank, sampled, before),
        move=sampled and section.sampling_method() == "pack",
    )


def _first_unused(bank: IdentityBank, sampled: bool, before: Sequence[RepairRound]) -> int:
    used = [part.candidate + 1 for round_ in before for part in round_.replaced]
    # What a sampling tried, or the rows that a ready bank gave.
    return max([int(bank.provenance["candidates"]) if sampled else len(bank), *used])


def _replaced(
    bank: IdentityBank,
    recipe: GenerateRecipe,
    source: CandidateSource,
    found: Redrawn,
    round_: RepairRound,
    before: Sequence[RepairRound],
) -> IdentityBank:
    vectors, ids = bank.vectors.copy(), list(bank.ids)
    file_ids = getattr(source, "bank", None) if recipe.identities.bank is not None else None
    number = len(before) + 1
    for part, vector, candidate in zip(round_.replaced, found.vectors, found.candidates, strict=True):
        vectors[part.identity] = vector
        ids[part.identity] = file_ids.ids[candidate] if file_ids else f"{part.identity:07d}-{number}"
    count = sum(len(earlier.replaced) for earlier in before) + len(round_.replaced)
    return IdentityBank(vectors, tuple(ids), {**bank.provenance, "repaired": {"rounds": number, "replaced": count}})
