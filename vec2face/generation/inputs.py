"""Find what a recipe asks for - the generator and the identity bank - and make the plan."""

from collections.abc import Mapping
from typing import Any

import torch

from vec2face.arithmetic import settled_recipe, slowness
from vec2face.checkpoints import digest, load_generator
from vec2face.config.generation import GenerateRecipe
from vec2face.errors import DatasetError, InputError
from vec2face.fileio.atomic import sha256_file
from vec2face.fileio.location import Location
from vec2face.fileio.mirror import local_file
from vec2face.generation.bank_digest import content_digest
from vec2face.generation.folder import DatasetFolder, check_destination, read_description
from vec2face.generation.plan import BankFacts, GeneratorFacts, Plan, make_plan
from vec2face.generation.redraw import redo
from vec2face.generation.reference import bank_from_photos
from vec2face.generation.render import require_device
from vec2face.generation.repairs import RepairRound, read_rounds
from vec2face.generation.select import candidates_for, select_rendered
from vec2face.generation.steering_inputs import open_parts
from vec2face.identities import IdentityBank, draw_apart
from vec2face.identities.sources import CandidateSource, FileSource, GaussianSource, PcaSource
from vec2face.identities.statistics import EMBEDDED_STATISTICS
from vec2face.progress import ProgressReporter, SilentProgress


def prepare(
    recipe: GenerateRecipe,
    out: Location,
    *,
    progress: ProgressReporter | None = None,
    renders_here: bool = True,
) -> tuple[Plan, IdentityBank]:
    """Check the destination, read the generator's facts, find or sample the identities, and plan.

    A bank that an earlier run left in `out` is used again where it was asked for in the same way, so that resuming a
    run does not repeat its sampling, and a dataset can be mended after its bank file is gone. What repairs replaced
    since is replaced again then.

    Args:
        recipe: what to make.
        out: folder of the dataset.
        progress: receives the stages of sampling, and a note where the precision asked for is slow here.
        renders_here: whether this machine renders, and so must have the recipe's device.

    Raises:
        Vec2FaceError: anything that would make the run fail later: an unusable folder, missing weights, a bank of
            another width, more identities than the source can give, a photograph without a face, an attribute that
            is not known or a target that no image can be asked for, a precision to be chosen for a GPU that is not
            here.
    """
    progress = progress or SilentProgress()
    folder = DatasetFolder(out)
    check_destination(folder)
    if renders_here:
        require_device(recipe.compute.device)
    recipe = settled_recipe(recipe)
    slow = slowness(recipe.compute.dtype, torch.device(recipe.compute.device), better="--dtype auto")
    if renders_here and slow:
        progress.note(slow)
    generator = generator_facts(recipe.weights)
    steered = None if recipe.attributes is None else open_parts(recipe, generator)
    description = read_description(folder) if folder.description.exists() else {}
    recorded = description.get("identities", {})
    request = _request(recipe, recorded.get("request", {}))
    alike = _asked_alike(recorded, request)
    rounds = read_rounds(description) if alike else ()
    # Photographs are always read anew.
    bank = _kept_bank(folder, recorded, rounds) if alike and recipe.identities.photos is None else None
    if bank is None:
        bank, undone = _new_bank(recipe, generator, progress), rounds
    else:
        # The last round is missing where a run was stopped inside it.
        undone = () if content_digest(bank) == recorded["sha256"] else rounds[-1:]
    if undone:
        done = rounds[: len(rounds) - len(undone)]
        bank = redo(bank, recipe, candidate_source(recipe, generator), done=done, rounds=undone)
    facts = BankFacts(sha256=content_digest(bank), count=len(bank), dim=bank.width)
    attributes = None if steered is None else steered.plan(bank.vectors, recorded=description, progress=progress)
    plan = make_plan(
        recipe,
        bank=facts,
        generator=generator,
        request=request,
        repairs=rounds,
        recorded=description,
        attributes=attributes,
    )
    return plan, bank


def generator_facts(reference: str) -> GeneratorFacts:
    """Read what a plan needs to know of a generator.

    Raises:
        WeightsError: the reference cannot be loaded.
    """
    config = load_generator(reference).config
    return GeneratorFacts(
        sha256=digest(reference, kind="generator"),
        feature_dim=config.feature_dim,
        feature_space=config.feature_space,
        sigma_unit=config.sigma_unit,
        sampling_mask=dict(config.sampling_mask),
        appearance_dim=config.appearance_dim,
        pose_condition=config.pose_condition,
        adapters=config.lora_rank is not None,
    )


def _new_bank(recipe: GenerateRecipe, generator: GeneratorFacts, progress: ProgressReporter) -> IdentityBank:
    identities = recipe.identities
    if identities.photos is not None:
        bank = bank_from_photos(
            identities.photos, feature_space=generator.feature_space, threads=recipe.compute.threads_per_worker
        )
        return _first(bank, identities.count, "the photographs give")
    if identities.bank is not None:
        return _first(IdentityBank.load(identities.bank), identities.count, f"{identities.bank} holds")
    source = candidate_source(recipe, generator)
    # Before sampling, which may take long.
    IdentityBank(source.candidates(recipe.seed, 0, 1), ("0",)).require_width("the generator", generator.feature_dim)
    count, ceiling = identities.sampling()
    rendered = identities.rendered
    tried = count if rendered is None else candidates_for(count, rendered)
    method = identities.sampling_method()
    bank = draw_apart(source, method=method, count=tried, ceiling=ceiling, seed=recipe.seed, progress=progress)
    if rendered is None:
        return bank
    return select_rendered(bank, recipe, generator, count=count, wanted=rendered, progress=progress)


def candidate_source(recipe: GenerateRecipe, generator: GeneratorFacts) -> CandidateSource:
    """Return what a recipe's identities are drawn from, or redrawn: for a ready bank, its file.

    Raises:
        InputError: they come from photographs, which show the people they show; or a file is missing or unusable.
    """
    identities = recipe.identities
    if identities.photos is not None:
        raise InputError("people taken from photographs cannot be drawn again; choose other photographs instead.")
    if identities.bank is not None:
        return FileSource(identities.bank)
    if identities.sampled_from == "gaussian":
        return GaussianSource(generator.feature_dim, identities.standard_deviation or generator.sigma_unit)
    if identities.sampled_from == "file" and identities.candidates is not None:
        return FileSource(identities.candidates)
    return PcaSource(identities.statistics or EMBEDDED_STATISTICS)


def _first(bank: IdentityBank, count: int | None, who: str) -> IdentityBank:
    if count is None or count == len(bank):
        return bank
    if count > len(bank):
        raise InputError(f"{count} identities are asked for, but {who} only {len(bank)}; ask for fewer.")
    return IdentityBank(bank.vectors[:count], bank.ids[:count], {**bank.provenance, "first": count})


def _request(recipe: GenerateRecipe, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Describe how the bank is asked for: the recipe's section, and the digests of the files it names.

    A file that has gone since is taken to be what it was in the recorded request.
    """
    identities = recipe.identities.resolved()
    photos = identities.photos
    files = {
        "bank": identities.bank,
        "candidates": identities.candidates,
        "statistics": (identities.statistics or EMBEDDED_STATISTICS) if identities.sampled_from == "pca" else None,
        "detector": photos.detector if photos else None,
    }
    known = recorded.get("files", {})
    request = {
        "seed": recipe.seed if identities.sampled_from else None,
        "weights": recipe.weights if photos or identities.sampled_from == "gaussian" else None,
        "section": identities.model_dump(mode="json"),
        "files": {
            name: sha256_file(path) if path.is_file() else known.get(name) for name, path in files.items() if path
        },
    }
    if identities.rendered is not None:
        request["rendering"] = {
            "weights": digest(recipe.weights, kind="generator"),
            **recipe.model_dump(mode="json", include={"images_per_identity", "variation", "mask", "compute"}),
        }
    return request


def _later_keys(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that the section of an older dataset lacks, with what it meant."""
    return {"method": "reject" if section["source"] is not None else None, "rendered": None}


def _asked_alike(recorded: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Tell whether a dataset's bank was asked for as it is now."""
    if not recorded:
        return False
    before = {
        **recorded["request"],
        "section": {**_later_keys(recorded["request"]["section"]), **recorded["request"]["section"], "count": None},
    }
    now = {**request, "section": {**request["section"], "count": None}}
    same_count = request["section"]["count"] in (recorded["request"]["section"]["count"], recorded["count"])
    return before == now and same_count


def _kept_bank(
    folder: DatasetFolder, recorded: Mapping[str, Any], rounds: tuple[RepairRound, ...]
) -> IdentityBank | None:
    """Return the bank in the folder if it is the recorded one, or what that was before the last repair."""
    if not folder.identities.is_file():
        return None
    try:
        bank = IdentityBank.load(local_file(folder.identities))
    except (InputError, DatasetError):
        return None
    digests = {recorded["sha256"], *(round_.bank_before for round_ in rounds[-1:])}
    return bank if content_digest(bank) in digests else None
