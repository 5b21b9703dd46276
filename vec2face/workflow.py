"""Whole jobs that join the layers: make a dataset, measure it, document it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vec2face.cards import write_card, write_report
from vec2face.checkpoints import digest
from vec2face.config.audit import AuditOptions
from vec2face.config.generation import GenerateRecipe
from vec2face.data.exclusions import FILE_NAME as EXCLUSIONS
from vec2face.errors import InputError, Vec2FaceError
from vec2face.evaluation.audit import audit as measure_dataset
from vec2face.evaluation.audit import check_real_faces
from vec2face.evaluation.failures import read_failed, read_real_faces
from vec2face.evaluation.findings import LEAK
from vec2face.evaluation.lineage import generator_lineage
from vec2face.evaluation.verdict import INDEPENDENT
from vec2face.fileio.location import Location
from vec2face.fileio.mirror import local_folder, send_back
from vec2face.generation.executor import Executor, default_workers
from vec2face.generation.inputs import candidate_source, prepare
from vec2face.generation.part import Part
from vec2face.generation.redraw import replace_identities
from vec2face.generation.render import device_is_here
from vec2face.generation.repairs import RepairRound
from vec2face.generation.run import Check, GenerationSummary, generate
from vec2face.progress import ProgressReporter, SilentProgress

_MEASURED_ALONE = (
    "Only the embedder that the generator was made to satisfy has measured it, so it cannot pass; an independent one "
    "(`vec2face audit DATASET --second-embedder REF`) settles that."
)
_PERHAPS_ITS_OWN = (
    "Whether the embedder took part in making these faces is not known, so they cannot pass; another one "
    "(--second-embedder REF) settles that."
)

_NAME_THEM = (
    "a likeness of a real person is to be replaced, and whoever takes its place must be compared with the real faces; "
    "name them with --against"
)


@dataclass(frozen=True)
class AuditSummary:
    """What an audit found and where it wrote it.

    Attributes:
        facts: as in `report/facts.json`.
        report: the HTML report.
        card: the dataset card; None for a set that was made elsewhere, of which a card could say too little.
    """

    facts: dict[str, Any]
    report: Location
    card: Location | None

    @property
    def verdict(self) -> str:
        """The worst status of all checks: "pass", "warn" or "fail"."""
        return str(self.facts["verdict"])

    @property
    def sentence(self) -> str:
        """The verdict and the checks that did not pass, for a terminal."""
        open_checks = [check["name"] for check in self.facts["checks"] if check["status"] != "pass"]
        remarks = f" ({'; '.join(dict.fromkeys(open_checks))})" if open_checks else ""
        card = "" if self.card is None else f"; card: {self.card}"
        excluded = self.facts["excluded"]
        are = f"{_counted(excluded, 'identity is', 'identities are')} excluded" if excluded else ""
        out = f" {are} from the dataset." if excluded else ""
        steered = _steering_sentence(self.facts["steering"]) if self.facts.get("steering") else ""
        alone = ""
        if INDEPENDENT in open_checks:
            known = self.facts["embedders"][0]["generators_own_space"] is not None
            alone = f" {_MEASURED_ALONE if known else _PERHAPS_ITS_OWN}"
        return f"{steered}Audit: {self.verdict}{remarks}. Report: {self.report}{card}.{out}{alone}"


def _counted(number: int, one: str, several: str | None = None) -> str:
    """Write a number with its noun: "1 round", "2 rounds"."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def _steering_sentence(facts: Mapping[str, Any]) -> str:
    """Say how the images of a steered dataset ended, on a line of its own."""
    ended = ", ".join(f"{count:,} {status}" for status, count in facts["statuses"].items())
    cost = "" if facts["passes"] is None else f"; {facts['passes']:.2f} passes for each converged image"
    return f"Steering: {ended}{cost}.\n"


@dataclass(frozen=True)
class RepairSummary:
    """What repairs did to a dataset, in this run and before.

    Attributes:
        rounds: all rounds so far.
        failing: identities that still fail.
        most: the cap on rounds.
        against: names of the real faces that everybody was compared with, whoever took somebody's place as well.
    """

    rounds: tuple[RepairRound, ...]
    failing: int
    most: int
    against: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was replaced and what is left, for a terminal."""
        replaced = sum(len(round_.replaced) for round_ in self.rounds)
        rounds = _counted(len(self.rounds), "round")
        done = f"Repair: {_counted(replaced, 'identity', 'identities')} replaced in {rounds}"
        if not self.failing:
            compared = f" (compared with {', '.join(self.against)}, too)" if self.against else ""
            return f"{done}; none fails now{compared}." if self.rounds else f"Repair: no identity fails{compared}."
        left = f"{self.failing:,} still {'fails' if self.failing == 1 else 'fail'}"
        return f"{done}; {left} (the cap is {_counted(self.most, 'round')}; raise it with --repair-rounds)."


@dataclass(frozen=True)
class DatasetSummary:
    """What `make_dataset` did; `audit` and `repair` are None where none was asked for."""

    generation: GenerationSummary
    audit: AuditSummary | None
    repair: RepairSummary | None = None

    @property
    def sentence(self) -> str:
        """What now stands where, for a terminal."""
        done = self.generation
        if done.was_complete:
            work = "nothing was left to render"
        else:
            rate = done.rendered_images / max(done.seconds, 1e-9)
            work = f"{done.rendered_images:,} rendered in {done.seconds:,.0f} s, {rate:,.1f} images/s"
        rejects = f", {done.rejects:,} rejected" if done.rejects else ""
        first = f"{done.out}: {done.images:,} images of {done.identities:,} identities{rejects} ({work})."
        if not done.finished:
            rest = f"{done.missing_shards:,} of {done.shards:,} shards are left to other runs"
            whole = "every shard is there, and another run finishes the dataset or has finished it"
            first = f"{done.out}: {work}; {rest if done.missing_shards else whole}."
        return "\n".join([first, *(part.sentence for part in (self.repair, self.audit) if part is not None)])


def make_dataset(
    recipe: GenerateRecipe,
    out: Location,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    part: Part | None = None,
    audit: bool = True,
    audit_options: AuditOptions | None = None,
    check: Check | None = None,
    repair_rounds: int | None = None,
    progress: ProgressReporter | None = None,
) -> DatasetSummary:
    """Generate a dataset, or finish one, then audit it and write its report and card.

    With `repair_rounds`, identities that fail the audit are drawn again, rendered and audited until none fails, or as
    often as the dataset has been repaired so many times in all. A stopped repair, run again, ends with the same bytes.
    Who takes a place is compared with the real faces of the options, or else with those of the audit before.

    Args:
        recipe: what to make.
        out: folder of the dataset, new, empty, or holding a part of the same dataset.
        workers: rendering processes; None uses one per CPU core, or one per GPU.
        executor: where shards are rendered; None renders in `workers` processes of this machine. With one that renders
            elsewhere the recipe's device need not be here, and an audit takes the CPU where it is not.
        part: the shards to render, beside other runs that render others; None renders all. The run after which none is
            missing audits, and no other.
        audit: whether to measure and document the finished dataset.
        audit_options: how; None takes the defaults, on the recipe's device.
        check: how finished shards are told from damaged ones; see `vec2face.generation.run.generate`.
        repair_rounds: most rounds of repair, 1 or more, counting earlier runs'; None repairs nothing. Needs `audit`.
        progress: receives every stage.

    Raises:
        Vec2FaceError: see `prepare`, `generate` and `audit_dataset`. A generator without a model card is refused before
            anything is rendered, and so are real faces that cannot be compared, and the repair of people from
            photographs.
        InputError: a likeness of a real person is to be replaced, and the real faces are not named and not where they
            were.
    """
    if repair_rounds is not None and not audit:
        raise InputError("a repair goes by the audit; leave the audit on.")
    if repair_rounds is not None and part is not None:
        raise InputError("a repair is of a whole dataset; render its parts first, and repair it when it is finished.")
    progress = progress or SilentProgress()
    options = audit_options or AuditOptions(device=recipe.compute.device)
    renders_here = executor is None or executor.here
    if not renders_here and not device_is_here(options.device):
        options = options.model_copy(update={"device": "cpu"})
    if audit:
        # Before anything else: sampling identities may take long, too.
        generator_lineage(recipe.weights, sha256=digest(recipe.weights, kind="generator"), card=options.weights_card)
        check_real_faces(options)
    plan, bank = prepare(recipe, out, progress=progress, renders_here=renders_here)
    source = None if repair_rounds is None else candidate_source(plan.recipe, plan.generator)
    chosen = workers or (1 if executor else default_workers(recipe.compute.device))
    generation = generate(
        plan, out, bank=bank, workers=chosen, part=part, progress=progress, executor=executor, check=check
    )
    if not audit or not generation.finished:
        return DatasetSummary(generation, None)
    if repair_rounds is not None:
        options = _with_known_faces(out, options)
    while True:
        audited = audit_dataset(out, options, progress=progress)
        if source is None or repair_rounds is None:
            return DatasetSummary(generation, audited)
        failed = read_failed(local_folder(out) / "report")
        reasons = {entry["identity"]: entry["reasons"] for entry in failed["identities"]}
        compared = tuple(one["reference"] for one in audited.facts["leakage"] if one["leaked"] is not None)
        if not reasons or len(plan.repairs) >= repair_rounds:
            repair = RepairSummary(plan.repairs, len(reasons), repair_rounds, compared)
            return DatasetSummary(generation, audited, repair)
        if not compared and any(LEAK in held for held in reasons.values()):
            raise InputError(f"{_NAME_THEM}.")
        plan, bank = replace_identities(plan, out, bank=bank, source=source, failed=reasons, judges=failed["judges"])
        again = generate(plan, out, bank=bank, workers=chosen, progress=progress, executor=executor)
        generation = replace(
            again,
            rendered_images=generation.rendered_images + again.rendered_images,
            rendered_shards=generation.rendered_shards + again.rendered_shards,
            seconds=generation.seconds + again.seconds,
        )


def _with_known_faces(out: Location, options: AuditOptions) -> AuditOptions:
    """Return options that compare with the real faces of the audit before, where none are named.

    Raises:
        InputError: somebody was found to be a likeness of faces that are not there any more.
    """
    report = local_folder(out) / "report"
    known = read_real_faces(report)
    if known is None:
        return options
    if options.against:
        # What no option says is as it was, or other people would be told as likenesses than before.
        kept = {"leak_rate": known.leak_rate, "strangers": known.strangers}
        return options.model_copy(update={key: kept[key] for key in kept.keys() - options.model_fields_set})
    again = known.options(options)
    try:
        check_real_faces(again)
    except Vec2FaceError as error:
        if any(LEAK in entry["reasons"] for entry in read_failed(report)["identities"]):
            gone = str(error).removesuffix(".")
            raise InputError(f"{_NAME_THEM} (those of the audit before cannot be used: {gone}).") from None
        return options
    return again


def audit_dataset(
    dataset: Location, options: AuditOptions | None = None, *, progress: ProgressReporter | None = None
) -> AuditSummary:
    """Audit a finished dataset, or faces made elsewhere, and write the report; see `vec2face.evaluation.audit.audit`.

    A generated dataset gets its card besides. The report of faces made elsewhere goes to the folder `options.out`.

    A dataset behind a URL is measured in a local copy (`vec2face.fileio.mirror`), which keeps the embeddings; report
    and table are uploaded.

    Raises:
        Vec2FaceError: as the audit; `CardError` where a fact is missing. `report/facts.json` stands then all the same.
    """
    if options is not None and options.out is not None:
        facts = measure_dataset(str(dataset), options, progress=progress)
        write_report(facts, options.out / "report.html")
        return AuditSummary(facts, options.out / "report.html", None)
    folder = local_folder(dataset, progress=progress)
    facts = measure_dataset(folder, options, progress=progress)
    write_report(facts, folder / "report" / "report.html")
    # A card says how a dataset was generated; of images that came from elsewhere the report says what was measured.
    generated = "recipe" in facts["dataset"]
    if generated:
        write_card(facts, folder / "report" / "card.md")
    kept = ["metadata.parquet", *([EXCLUSIONS] if facts["excluded"] else [])]
    send_back(dataset, folders=["report"], but="cache", files=kept)
    card = dataset / "report" / "card.md" if generated else None
    return AuditSummary(facts, dataset / "report" / "report.html", card)
