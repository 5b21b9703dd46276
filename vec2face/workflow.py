"""Whole jobs that join the layers: make a dataset, measure it, document it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vec2face.cards import write_card, write_report
from vec2face.checkpoints import digest
from vec2face.config.audit import AuditOptions
from vec2face.config.generation import GenerateRecipe
from vec2face.evaluation.audit import audit as measure_dataset
from vec2face.evaluation.lineage import generator_lineage
from vec2face.generation.executor import default_workers
from vec2face.generation.inputs import prepare
from vec2face.generation.run import GenerationSummary, generate
from vec2face.progress import ProgressReporter, SilentProgress


@dataclass(frozen=True)
class AuditSummary:
    """What an audit found and where it wrote it.

    Attributes:
        facts: as in `report/facts.json`.
        report, card: the HTML report and the dataset card.
    """

    facts: dict[str, Any]
    report: Path
    card: Path

    @property
    def verdict(self) -> str:
        """The worst status of all checks: "pass", "warn" or "fail"."""
        return str(self.facts["verdict"])

    @property
    def sentence(self) -> str:
        """The verdict and the checks that did not pass, for a terminal."""
        open_checks = [check["name"] for check in self.facts["checks"] if check["status"] != "pass"]
        remarks = f" ({'; '.join(dict.fromkeys(open_checks))})" if open_checks else ""
        return f"Audit: {self.verdict}{remarks}. Report: {self.report}; card: {self.card}."


@dataclass(frozen=True)
class DatasetSummary:
    """What `make_dataset` did; `audit` is None where none was asked for."""

    generation: GenerationSummary
    audit: AuditSummary | None

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
        return first if self.audit is None else f"{first}\n{self.audit.sentence}"


def make_dataset(
    recipe: GenerateRecipe,
    out: Path,
    *,
    workers: int | None = None,
    audit: bool = True,
    audit_options: AuditOptions | None = None,
    progress: ProgressReporter | None = None,
) -> DatasetSummary:
    """Generate a dataset, or finish one, then audit it and write its report and card.

    Args:
        recipe: what to make.
        out: folder of the dataset, new, empty, or holding a part of the same dataset.
        workers: rendering processes; None uses one per CPU core, or one per GPU.
        audit: whether to measure and document the finished dataset.
        audit_options: how; None takes the defaults, on the recipe's device.
        progress: receives every stage.

    Raises:
        Vec2FaceError: see `prepare`, `generate` and `audit_dataset`. A generator without a model card is refused before
            anything is rendered.
    """
    progress = progress or SilentProgress()
    options = audit_options or AuditOptions(device=recipe.compute.device)
    if audit:
        # Before anything else: sampling identities may take long, too.
        generator_lineage(recipe.weights, sha256=digest(recipe.weights, kind="generator"), card=options.weights_card)
    plan, bank = prepare(recipe, out, progress=progress)
    chosen = workers or default_workers(recipe.compute.device)
    generation = generate(plan, out, bank=bank, workers=chosen, progress=progress)
    return DatasetSummary(generation, audit_dataset(out, options, progress=progress) if audit else None)


def audit_dataset(
    dataset: Path, options: AuditOptions | None = None, *, progress: ProgressReporter | None = None
) -> AuditSummary:
    """Audit a finished dataset and write its report and card; see `vec2face.evaluation.audit.audit`.

    Raises:
        Vec2FaceError: as the audit; `CardError` where a fact is missing. `report/facts.json` stands then all the same.
    """
    facts = measure_dataset(dataset, options, progress=progress)
    report, card = dataset / "report" / "report.html", dataset / "report" / "card.md"
    write_report(facts, report)
    write_card(facts, card)
    return AuditSummary(facts, report, card)
