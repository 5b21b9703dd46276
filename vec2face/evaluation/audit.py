"""Audit a dataset: embed its images, measure them, draw sheets and plots, and write the facts.

`report/facts.json`, the only thing cards and reports are made from, is a JSON object:

    format       version of this layout
    vec2face     release that made the audit
    dataset      name, fingerprint, seed, identities, images, images_per_identity {min, mean, max}, rejects, shards,
                 bytes, recipe (resolved), generator, bank (its provenance), bank_sha256, settings (all that decides
                 the bytes), repairs (rounds, replaced, reasons; null where there were none)
    lineage      a list: role, reference, sha256, name, licence, source, data [name, role, licence, consent]
    settings     how much was measured: seed, images_per_identity, pairs, comparisons, device
    embedders    a list, the main one first: reference, name, dim, sha256, generators_own_space,
                 threshold {value, source}, and the measures of `vec2face.evaluation.measure.Measurement.facts`
    checks       name, value, threshold, status, embedder, reason
    verdict      "pass", "warn" or "fail": the worst check
    failed_identities  how many fail by themselves; see `vec2face.evaluation.failures`
    figures      file, kind, title, caption of each sheet and plot in the folder
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vec2face import __version__
from vec2face.checkpoints import digest, load_embedder
from vec2face.config.audit import AuditOptions
from vec2face.contracts import require_same_width
from vec2face.errors import DatasetError, InputError
from vec2face.evaluation.columns import write_measured_columns
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.embeddings import embed_dataset, move
from vec2face.evaluation.failures import FILE_NAME, failed_identities
from vec2face.evaluation.figures import SECOND, draw_figures, draw_plots, remove_other_figures
from vec2face.evaluation.lineage import generator_lineage
from vec2face.evaluation.measure import Measurement, measure
from vec2face.evaluation.thresholds import Threshold, threshold_of
from vec2face.evaluation.verdict import settle
from vec2face.fileio.atomic import write_json
from vec2face.progress import ProgressReporter, SilentProgress

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

FORMAT = 1

# Options that can change a number.
_SETTINGS = {"images_per_identity", "pairs", "comparisons", "seed", "device"}


def audit(
    dataset: Path, options: AuditOptions | None = None, *, progress: ProgressReporter | None = None
) -> dict[str, Any]:
    """Measure a finished dataset and write `report/` and the measured columns of `metadata.parquet`.

    A stopped audit, run again, goes on from the last embedded shard. Equal datasets, embedders and options give equal
    facts.

    Args:
        dataset: folder of the dataset.
        options: what measures and how much; None takes the defaults.
        progress: receives every stage.

    Returns:
        The facts, as in `report/facts.json`.

    Raises:
        DatasetError: the folder holds no finished dataset, or a damaged one.
        InputError: the generator's model card is missing, both embedders are the same, or there is no such device.
        WeightsError: an embedder cannot be loaded.
        StorageError: the report cannot be written.
    """
    options = options or AuditOptions()
    progress = progress or SilentProgress()
    reader = DatasetReader(dataset)
    description = _Description(reader)
    dataset_facts = description.facts()
    lineage = generator_lineage(description.weights, sha256=description.generator["sha256"], card=options.weights_card)
    references = [options.embedder, *([options.second_embedder] if options.second_embedder else [])]
    judges = [_Judge(reference, options.device) for reference in references]
    if len({judge.sha256 for judge in judges}) < len(judges):
        raise InputError(f"the second embedder {options.second_embedder!r} is the same as the first; give another one.")

    measurements = []
    for judge in judges:
        embedded = embed_dataset(
            reader,
            judge.network,
            embedder_digest=judge.sha256,
            images_per_identity=options.images_per_identity,
            batch_size=options.batch_size,
            progress=progress,
        )
        own_space = judge.network.name == description.generator["feature_space"]
        if own_space:
            require_same_width(
                "the identity bank", reader.bank.width, f"embedder {judge.reference!r}", judge.network.dim
            )
        progress.begin(f"measuring with {judge.network.name}", total=1, unit="steps")
        vectors = reader.bank.vectors if own_space else None
        measurements.append(measure(embedded, threshold=judge.threshold.value, options=options, vectors=vectors))
        progress.advance(1)

    main = measurements[0]
    progress.begin("drawing", total=1 + len(judges), unit="steps")
    figures = draw_figures(reader, main, seed=options.seed)
    progress.advance(1)
    for number, (judge, measurement) in enumerate(zip(judges, measurements, strict=True)):
        prefix = SECOND if number else ""
        figures += draw_plots(reader.report_folder, measurement, name=judge.network.name, prefix=prefix)
        progress.advance(1)
    write_measured_columns(reader.metadata_path, main)

    facts: dict[str, Any] = {
        "format": FORMAT,
        "vec2face": __version__,
        "dataset": dataset_facts,
        "lineage": [lineage],
        "settings": options.model_dump(mode="json", include=_SETTINGS),
        "embedders": [
            judge.facts(measurement, description.generator["feature_space"])
            for judge, measurement in zip(judges, measurements, strict=True)
        ],
        "figures": figures,
    }
    facts["verdict"], checks = settle(facts)
    facts["checks"] = [check.to_dict() for check in checks]
    failed = failed_identities(
        fingerprint=dataset_facts["fingerprint"],
        judges=facts["embedders"],
        measurements=measurements,
        images=reader.images_of_each_identity(),
        planned=description.recipe["images_per_identity"],
        others={},
    )
    facts["failed_identities"] = len(failed["identities"])
    write_json(reader.report_folder / FILE_NAME, failed)
    write_json(reader.report_folder / "facts.json", facts)
    remove_other_figures(reader.report_folder, figures)
    return facts


class _Judge:
    """An embedder that measures, and what is known of it."""

    def __init__(self, reference: str, device: str) -> None:
        self.reference = reference
        self.network: FaceEmbedder = move(load_embedder(reference), device)
        self.sha256: str = digest(reference, kind="embedder")
        self.threshold: Threshold = threshold_of(reference)

    def facts(self, measurement: Measurement, feature_space: str) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "name": self.network.name,
            "dim": self.network.dim,
            "sha256": self.sha256,
            "generators_own_space": self.network.name == feature_space,
            "threshold": asdict(self.threshold),
            **measurement.facts(),
        }


class _Description:
    """What `dataset.json` and the manifests say."""

    def __init__(self, reader: DatasetReader) -> None:
        self._reader = reader
        values = reader.description
        try:
            self.recipe: dict[str, Any] = values["recipe"]
            self.weights: str = self.recipe["weights"]
            self.generator: dict[str, Any] = values["generator"]
            self._facts = {
                "name": values["name"],
                "fingerprint": values["fingerprint"],
                "seed": self.recipe["seed"],
                "recipe": self.recipe,
                "generator": {
                    key: self.generator[key] for key in ("sha256", "feature_space", "feature_dim", "sigma_unit")
                },
                "bank_sha256": values["identities"]["sha256"],
                "settings": values["determinants"],
            }
        except KeyError as error:
            raise DatasetError(
                f"{reader.folder / 'dataset.json'} lacks {error}; generate the dataset again into an empty folder."
            ) from None

    def facts(self) -> dict[str, Any]:
        reader = self._reader
        counts = reader.images_of_each_identity()
        return {
            **self._facts,
            "bank": reader.bank.provenance,
            "identities": len(counts),
            "images": reader.images,
            "images_per_identity": {"min": int(counts.min()), "mean": float(counts.mean()), "max": int(counts.max())},
            "rejects": sum(shard.rejects for shard in reader.shards),
            "shards": len(reader.shards),
            "bytes": sum(shard.path.stat().st_size for shard in reader.shards),
            "repairs": _repairs(reader.description.get("repairs", [])),
        }


def _repairs(rounds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Sum up what repairs replaced, as `dataset.json` records it; None where there were none."""
    replaced = [part for round_ in rounds for part in round_["replaced"]]
    reasons = Counter(reason for part in replaced for reason in part["reasons"])
    return {"rounds": len(rounds), "replaced": len(replaced), "reasons": dict(reasons)} if rounds else None
