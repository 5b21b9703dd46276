"""Audit a set of faces: embed its images, measure them, draw sheets and plots, and write the facts.

`report/facts.json`, the only thing cards and reports are made from, is a JSON object:

    format       version of this layout
    vec2face     release that made the audit
    dataset      see `vec2face.evaluation.audit_description`; a foreign set has no more than its name, source, format,
                 whether it is labelled, identities, images, images_per_identity and bytes
    lineage      a list: role, reference, sha256, name, licence, source, data [name, role, licence, consent]; empty for
                 a foreign set
    settings     how much was measured: seed, images_per_identity, pairs, comparisons, device
    embedders    a list, the main one first: reference, name, dim, sha256, generators_own_space,
                 threshold {value, source}, and the measures of `vec2face.evaluation.measure.Measurement.facts`
    pictures, near_duplicates, leakage, findings  see `vec2face.evaluation.inspection.Inspection.facts`
    demographics see `vec2face.evaluation.demographics`; null where no probes of groups were asked for
    realism      see `vec2face.evaluation.realism.Realism`; null where no real faces were given
    steering     see `vec2face.evaluation.steering`; null for a dataset without attributes
    checks       name, value, threshold, status, embedder, reason
    verdict      "pass", "warn" or "fail": the worst check
    failed_identities  how many fail by themselves; see `vec2face.evaluation.failures`; null for a foreign set
    excluded     identities that are excluded from the dataset, a number; null for a foreign set
    kept         what is left without them: identities, images; null for a foreign set
    dropped      how many of the excluded this audit excluded, after it had measured them; null for a foreign set
    figures      file, kind, title, caption of each sheet and plot in the folder

Findings stand there with at most `vec2face.evaluation.findings.LISTED` of a kind; `report/findings.csv` beside it names
all of them (see `vec2face.evaluation.findings_table`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vec2face import __version__
from vec2face.checkpoints import digest, load_embedder
from vec2face.config.audit import AuditOptions
from vec2face.contracts import require_same_width
from vec2face.data.exclusions import exclude, read_exclusions
from vec2face.errors import InputError
from vec2face.evaluation.audit_description import DatasetDescription, describe_foreign
from vec2face.evaluation.columns import write_measured_columns
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.defect_sheets import draw_inspection
from vec2face.evaluation.demographics import Demographics
from vec2face.evaluation.embeddings import embed_dataset, move
from vec2face.evaluation.face_sets import AuditedSet, open_audited, table_of
from vec2face.evaluation.failures import FILE_NAME, RealFaceCheck, failed_identities, read_real_faces
from vec2face.evaluation.figures import SECOND, draw_figures, draw_plots, remove_other_figures
from vec2face.evaluation.findings import LEAK
from vec2face.evaluation.findings_table import FILE_NAME as FINDINGS
from vec2face.evaluation.findings_table import write_findings
from vec2face.evaluation.inspection import Inspection, View, inspect, open_traits, seen_by
from vec2face.evaluation.leakage_sides import not_dropped, require_strangers
from vec2face.evaluation.lineage import generator_lineage
from vec2face.evaluation.measure import Measurement, measure
from vec2face.evaluation.realism_section import RealismReference
from vec2face.evaluation.references import Reference
from vec2face.evaluation.steering import measure_steering
from vec2face.evaluation.thresholds import Threshold, threshold_of
from vec2face.evaluation.verdict import settle
from vec2face.fileio.atomic import write_json
from vec2face.progress import ProgressReporter, SilentProgress

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

FORMAT = 1

# Options that can change a number.
_SETTINGS = {"images_per_identity", "pairs", "comparisons", "seed", "device", "leak_rate", "stranger_pairs"}


def audit(
    dataset: Path | str, options: AuditOptions | None = None, *, progress: ProgressReporter | None = None
) -> dict[str, Any]:
    """Measure a finished dataset, or faces from elsewhere, and write the report.

    A dataset's report stands in its folder `report/`, and its `metadata.parquet` gets the measured columns. Of a
    foreign set nothing is touched; its report goes to `options.out`. A stopped audit, run again, goes on from the last
    embedded shard. Equal sets, embedders and options give equal facts.

    Args:
        dataset: folder of the dataset, or any set of aligned faces that `open_reader` opens.
        options: what measures and how much; None takes the defaults.
        progress: receives every stage.

    Returns:
        The facts, as in `facts.json`.

    Raises:
        DatasetError: the folder holds no finished dataset, or a damaged one.
        InputError: the set or a reference cannot be read, the generator's model card is missing, both embedders are the
            same, or there is no such device.
        ContractError: stored embeddings of real faces are another embedder's, or of another width.
        WeightsError: an embedder cannot be loaded.
        StorageError: the report cannot be written.
    """
    options = options or AuditOptions()
    progress = progress or SilentProgress()
    reader = open_audited(str(dataset), report=options.out, people=options.people)
    own = reader if isinstance(reader, DatasetReader) else None
    if options.drop_leaks and (own is None or not options.against):
        raise InputError("leaks are dropped from a dataset of this toolkit, by real faces that are named by --against.")
    description = None if own is None else DatasetDescription(own)
    lineage = [] if description is None else [_lineage(description, options)]
    references, strangers = _open_references(options, reader.report_folder / "cache")
    realism = None if options.reference is None else RealismReference(options.reference)
    estimators = open_traits(options)
    demographics = Demographics.open(options)
    judges = _open_judges(options, options.device)
    if len({judge.sha256 for judge in judges}) < len(judges):
        raise InputError(f"the second embedder {options.second_embedder!r} is the same as the first; give another one.")
    _check_references(references, strangers, judges, drop=options.drop_leaks)

    space = None if description is None else description.generator["feature_space"]
    measurements = [_measure(reader, own, judge, space, options, progress) for judge in judges]
    main = measurements[0]
    views = [View(judge.network, judge.sha256, found) for judge, found in zip(judges, measurements, strict=True)]
    inspection = inspect(
        reader,
        views[0],
        second=views[1] if len(views) > 1 else None,
        estimators=estimators,
        references=references,
        strangers=strangers,
        table=None if own is None else own.metadata_path,
        options=options,
        progress=progress,
    )
    if options.drop_leaks:
        _require_limits(inspection)
    balance = None
    if demographics is not None:
        balance = demographics.measure(
            reader,
            {view.sha256: view.measurement.embedded for view in views},
            options=options,
            excluded=() if own is None else read_exclusions(own.folder),
            progress=progress,
        )
    real = None
    if realism is not None:
        # The first that took no part, if one did not: the generator was made to look real to its own.
        at = next((at for at, judge in enumerate(judges) if not judge.is_generators_own(space)), 0)
        real = realism.measure(
            measurements[at],
            judges[at].network,
            flatters=bool(judges[at].is_generators_own(space)),
            seed=options.seed,
            batch_size=options.batch_size,
            progress=progress,
        )
    names = inspection.names(reader)
    write_findings(reader.report_folder / FINDINGS, inspection.findings, names)
    figures = _draw(reader, judges, measurements, inspection, options, progress)
    steering = None if own is None else measure_steering(own)
    figures += [] if steering is None else steering.draw(reader.report_folder)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "vec2face": __version__,
        "dataset": describe_foreign(reader, main) if description is None else description.facts(),
        "lineage": lineage,
        "settings": options.model_dump(mode="json", include=_SETTINGS),
        "embedders": [judge.facts(measurement, space) for judge, measurement in zip(judges, measurements, strict=True)],
        **inspection.facts(names),
        "demographics": balance,
        "realism": real,
        "steering": None if steering is None else steering.facts(),
        "figures": figures,
    }
    facts["verdict"], checks = settle(facts)
    facts["checks"] = [check.to_dict() for check in checks]
    facts["failed_identities"] = facts["excluded"] = facts["kept"] = facts["dropped"] = None
    if (table := table_of(reader)) is not None:
        write_measured_columns(table, main)
    if own is not None and description is not None:
        failed = failed_identities(
            fingerprint=description.fingerprint,
            judges=facts["embedders"],
            measurements=measurements,
            images=own.images_of_each_identity(),
            planned=description.recipe["images_per_identity"],
            others=_held_against(inspection, own),
            real_faces=RealFaceCheck.of(options) or read_real_faces(reader.report_folder),
        )
        facts["failed_identities"] = len(failed["identities"])
        write_json(reader.report_folder / FILE_NAME, failed)
        before = excluded = read_exclusions(own.folder)
        if options.drop_leaks:
            leaks = [identity for identity, reasons in inspection.failing.items() if LEAK in reasons]
            excluded = exclude(own.folder, dict.fromkeys(leaks, LEAK))
        facts["excluded"], facts["dropped"] = len(excluded), len(excluded) - len(before)
        facts["kept"] = description.kept(excluded)
    write_json(reader.report_folder / "facts.json", facts)
    remove_other_figures(reader.report_folder, figures)
    return facts


def check_real_faces(options: AuditOptions) -> None:
    """Open the real faces that an audit is to compare with, and refuse now what it would refuse later.

    Raises:
        InputError, ContractError, WeightsError: see `audit`.
    """
    if options.against:
        references, strangers = _open_references(options, Path("cache"))  # nothing is written there by opening
        _check_references(references, strangers, _open_judges(options, "cpu"), drop=options.drop_leaks)


def _open_references(options: AuditOptions, cache: Path) -> tuple[list[Reference], Reference | None]:
    if options.strangers is not None and not options.against:
        raise InputError("strangers set the limits of likenesses to real faces; name those with --against, too.")
    references = [Reference(source, cache=cache) for source in options.against]
    return references, None if options.strangers is None else Reference(options.strangers, cache=cache)


def _open_judges(options: AuditOptions, device: str) -> "list[_Judge]":
    second = [] if options.second_embedder is None else [options.second_embedder]
    return [_Judge(reference, device) for reference in (options.embedder, *second)]


def _check_references(
    references: "list[Reference]", strangers: Reference | None, judges: "list[_Judge]", *, drop: bool
) -> None:
    """Refuse, before anything is embedded, what stored embeddings show to be wrong; see `audit`."""
    for reference in references:
        judge = seen_by(reference, judges)
        faces = reference.load(judge.network, sha256=judge.sha256)
        if strangers is not None:
            faces = strangers.load(judge.network, sha256=judge.sha256)
        if drop and faces is not None:
            require_strangers(faces)


def _require_limits(inspection: Inspection) -> None:
    """Refuse to drop likenesses where none can be told; what stored embeddings show of it was refused before."""
    for leak in inspection.leaks:
        if leak.no_limit is not None:
            raise InputError(not_dropped(leak.no_limit))


def _held_against(inspection: Inspection, dataset: DatasetReader) -> dict[int, list[str]]:
    """What a repair goes by beside the measures; who is excluded is not measured, but to be replaced all the same."""
    held = {identity: list(reasons) for identity, reasons in inspection.failing.items()}
    for identity, reason in read_exclusions(dataset.folder).items():
        held.setdefault(identity, []).append(reason)
    return held


def _lineage(description: DatasetDescription, options: AuditOptions) -> dict[str, Any]:
    return generator_lineage(description.weights, sha256=description.generator["sha256"], card=options.weights_card)


def _measure(
    reader: AuditedSet,
    own: DatasetReader | None,
    judge: "_Judge",
    space: str | None,
    options: AuditOptions,
    progress: ProgressReporter,
) -> Measurement:
    embedded = embed_dataset(
        reader,
        judge.network,
        embedder_digest=judge.sha256,
        images_per_identity=options.images_per_identity,
        batch_size=options.batch_size,
        excluded=() if own is None else read_exclusions(own.folder),
        progress=progress,
    )
    vectors = None
    if own is not None and judge.network.name == space:
        vectors = own.bank.vectors
        require_same_width("the identity bank", own.bank.width, f"embedder {judge.reference!r}", judge.network.dim)
    progress.begin(f"measuring with {judge.network.name}", total=1, unit="steps")
    found = measure(embedded, threshold=judge.threshold.value, options=options, vectors=vectors)
    progress.advance(1)
    return found


def _draw(
    reader: AuditedSet,
    judges: "list[_Judge]",
    measurements: list[Measurement],
    inspection: Inspection,
    options: AuditOptions,
    progress: ProgressReporter,
) -> list[dict[str, Any]]:
    progress.begin("drawing", total=2 + len(judges), unit="steps")
    figures = draw_figures(reader, measurements[0], seed=options.seed)
    progress.advance(1)
    for number, (judge, measurement) in enumerate(zip(judges, measurements, strict=True)):
        prefix = SECOND if number else ""
        figures += draw_plots(reader.report_folder, measurement, name=judge.network.name, prefix=prefix)
        progress.advance(1)
    figures += draw_inspection(reader, inspection)
    progress.advance(1)
    return figures


class _Judge:
    """An embedder that measures, and what is known of it."""

    def __init__(self, reference: str, device: str) -> None:
        self.reference = reference
        self.network: FaceEmbedder = move(load_embedder(reference), device)
        self.sha256: str = digest(reference, kind="embedder")
        self.threshold: Threshold = threshold_of(reference)

    def is_generators_own(self, feature_space: str | None) -> bool | None:
        """Whether the generator was made to satisfy it; None where the generator's feature space is not known."""
        return None if feature_space is None else self.network.name == feature_space

    def facts(self, measurement: Measurement, feature_space: str | None) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "name": self.network.name,
            "dim": self.network.dim,
            "sha256": self.sha256,
            "generators_own_space": self.is_generators_own(feature_space),
            "threshold": asdict(self.threshold),
            **measurement.facts(),
        }
