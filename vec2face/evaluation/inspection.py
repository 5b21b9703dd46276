"""The part of an audit that looks at the pictures, for defects by name and for real people, beside the identities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from vec2face.checkpoints import load_embedder
from vec2face.config.audit import AuditOptions
from vec2face.contracts import require_same_width
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.findings import Finding, find_defects, finding_facts, reasons_by_identity
from vec2face.evaluation.findings_table import Names, read_names
from vec2face.evaluation.leakage import measure_leakage
from vec2face.evaluation.leakage_found import Leakage
from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.mixed_people import MixedPerson, find_mixed
from vec2face.evaluation.near_duplicates import NearDuplicates, find_near_duplicates
from vec2face.evaluation.perceptual import PerceptualSpread, draw_pairs, perceptual_distances
from vec2face.evaluation.pictures import group_facts, poor_pictures, requested_facts, sidedness, trait_facts
from vec2face.evaluation.references import RealFaces, Reference
from vec2face.evaluation.row_cache import decode_face
from vec2face.evaluation.traits import STATISTICS, Traits, measure_traits
from vec2face.fileio.atomic import fingerprint
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.embedders.compact import CompactEmbedder
from vec2face.progress import ProgressReporter
from vec2face.steering.catalogue import embedded_names, open_estimators, open_reference
from vec2face.steering.estimators import digest_of

if TYPE_CHECKING:
    from vec2face.steering.estimators import AttributeEstimator

PERCEPTUAL_NETWORK = "embedded"


@dataclass(frozen=True)
class View:
    """A set as one embedder sees it.

    Attributes:
        network, sha256: the embedder.
        measurement: of the set, by it.
    """

    network: FaceEmbedder
    sha256: str
    measurement: Measurement


@dataclass(frozen=True)
class Inspection:
    """What was found in the pictures.

    Attributes:
        measurement: the identities, by the main embedder.
        traits: of the measured images, in its order.
        mixed, duplicates, poor, leaks, findings: defects; see their modules.
        perceptual: None where the embedded recogniser shows no feature maps.
        real: the faces that the dataset was compared with.
        table: metadata with requested attributes; None for a foreign set.
    """

    measurement: Measurement
    traits: Traits
    mixed: tuple[MixedPerson, ...]
    duplicates: NearDuplicates
    poor: dict[int, list[str]]
    leaks: tuple[Leakage, ...]
    findings: tuple[Finding, ...]
    perceptual: PerceptualSpread | None
    real: tuple[RealFaces, ...]
    table: Path | None

    @property
    def failing(self) -> dict[int, list[str]]:
        """Identity -> reasons, beside those of the measures, to draw it again."""
        return reasons_by_identity(self.findings)

    def names(self, source: AuditedSet) -> Names:
        """Read what the images and people of all findings are called. Raises `DatasetError`, `InputError`."""
        return read_names(source, self.findings, self.measurement)

    def facts(self, names: Names) -> dict[str, Any]:
        """The sections "pictures", "near_duplicates", "leakage" and "findings" of the audit's facts."""
        people, embedded = self.measurement.people, self.measurement.embedded
        perceptual = None if self.perceptual is None else self.perceptual.facts()
        return {
            "pictures": {
                "images": len(embedded),
                "traits": trait_facts(self.traits, people),
                "groups": group_facts(self.traits, people),
                "requested": {} if self.table is None else requested_facts(self.table, self.traits, embedded),
                "poor": len(self.poor),
                "poor_share": len(self.poor) / len(embedded),
                "sides": sidedness(self.traits),
                "mixed_identities": len(self.mixed),
                "mixed_share": len(self.mixed) / len(people),
                "perceptual_distance": perceptual,
            },
            "near_duplicates": self.duplicates.facts(),
            "leakage": [leakage_facts(one, self.measurement) for one in self.leaks],
            "findings": finding_facts(self.findings, names=names.images, people=names.people),
        }


class _Seeing(Protocol):
    """What embeds, and the SHA-256 of its weights."""

    @property
    def sha256(self) -> str:
        """Of the weights."""


Seeing = TypeVar("Seeing", bound=_Seeing)


def seen_by(reference: Reference, embedders: Sequence[Seeing]) -> Seeing:
    """Return which embedder compares a dataset with a reference: the one that made its vectors, else the first."""
    return next((one for one in embedders if one.sha256 == reference.sha256), embedders[0])


def leakage_facts(leak: Leakage, measurement: Measurement) -> dict[str, Any]:
    """A reference's part of the section "leakage".

    Where strangers are too few for a limit, `no_limit` says so, and what needs one is None.
    """
    limited = leak.no_limit is None
    identities = len(measurement.people)
    first = leak.comparisons[0]
    people = first.baseline_people
    reached = len(np.unique(people[first.baseline_reaching]))
    return {
        "reference": leak.reference.name,
        "images": len(leak.reference),
        "people": len(leak.reference.names),
        "mirrored": leak.reference.mirrored,
        "embedder": leak.reference.facts.get("embedder"),
        "assumption": leak.assumption,
        "identities": identities,
        "strangers": leak.strangers,
        "no_limit": leak.no_limit,
        "people_with_several": leak.several,
        "leaked": len(leak.leaked) if limited else None,
        "leaked_share": len(leak.leaked) / identities if limited else None,
        "images_share": float(first.matches.matched.mean()) if limited else None,
        "strangers_images_share": leak.expected_share,
        "strangers_people_share": reached / max(1, len(np.unique(people))) if limited else None,
        "comparisons": [
            comparison.facts()
            | {
                "closest": [
                    {
                        "identity": int(comparison.identities[pair.query]),
                        "reference": leak.reference.keys[int(comparison.rows[pair.reference])],
                        "person": leak.reference.person_of(int(comparison.rows[pair.reference])),
                        "cosine": pair.cosine,
                    }
                    for pair in comparison.matches.closest
                ]
            }
            for comparison in leak.comparisons
        ],
    }


def open_traits(options: AuditOptions) -> "list[AttributeEstimator]":
    """Open the estimators of an audit, before any work: light, sharpness, the embedded ones, and what the options name.

    Raises:
        ConfigError, InputError, WeightsError, ContractError: see `open_estimators`.
    """
    given = [one.facts.name for reference in options.estimators for one in open_reference(reference)]
    names = dict.fromkeys([*STATISTICS, *embedded_names(), *options.attributes, *given])
    return open_estimators(names, references=options.estimators)


def inspect(
    source: AuditedSet,
    view: View,
    *,
    second: View | None = None,
    estimators: "Sequence[AttributeEstimator]",
    references: Sequence[Reference],
    strangers: Reference | None = None,
    table: Path | None,
    options: AuditOptions,
    progress: ProgressReporter,
) -> Inspection:
    """Measure the pictures of a set and name its defects.

    Args:
        source: the set.
        view: its identities, by the main embedder.
        second: the same by another one, which compares it with real faces whose stored vectors are its own.
        estimators: what is measured of each picture.
        references: real faces to compare with.
        strangers: real faces whose pairs set the limits; None takes those of each reference.
        table: `metadata.parquet` of a dataset.
        options: how much is measured.
        progress: receives every stage.

    Raises:
        Vec2FaceError: a picture, a reference or the table cannot be read; the cache cannot be written.
    """
    measurement = view.measurement
    traits = measure_traits(
        source,
        estimators,
        identity=fingerprint([digest_of(one) for one in estimators]),
        images_per_identity=options.images_per_identity,
        batch_size=options.batch_size,
        device=options.device,
        progress=progress,
    ).of(measurement.embedded.rows)
    duplicates = find_near_duplicates(measurement.embedded, traits, progress=progress)
    mixed = find_mixed(measurement.embedded.gather, measurement.people, threshold=measurement.threshold)
    poor = poor_pictures(traits)
    leaks, real = [], []
    for reference in references:
        by = seen_by(reference, [view] if second is None else [view, second])
        faces, held_out = reference.embed(
            by.network, sha256=by.sha256, batch_size=options.batch_size, progress=progress
        )
        require_same_width(reference.name, faces.faces.both.shape[1], "the dataset's embeddings", by.network.dim)
        real.append(faces)
        others = None
        if strangers is not None:
            found, _ = strangers.embed(by.network, sha256=by.sha256, batch_size=options.batch_size, progress=progress)
            others = found.faces
        leaks.append(
            measure_leakage(
                by.measurement,
                faces.faces,
                rate=options.leak_rate,
                max_pairs=options.stranger_pairs,
                seed=options.seed,
                held_out=held_out,
                strangers=others,
                progress=progress,
            )
        )
    findings = find_defects(measurement, duplicates=duplicates, mixed=mixed, poor=poor, leaks=leaks)
    perceptual = _perceptual_spread(source, measurement, options.seed)
    return Inspection(
        measurement,
        traits,
        tuple(mixed),
        duplicates,
        poor,
        tuple(leaks),
        tuple(findings),
        perceptual,
        tuple(real),
        table,
    )


def _perceptual_spread(source: AuditedSet, measurement: Measurement, seed: int) -> PerceptualSpread | None:
    network = load_embedder(PERCEPTUAL_NETWORK)
    if not isinstance(network, CompactEmbedder):
        return None
    sides = draw_pairs(measurement.people, seed=seed)
    rows = [measurement.embedded.rows[pairs] for pairs in sides]
    records = source.fetch_rows(np.concatenate([part.ravel() for part in rows]).tolist())
    pictures = {row: decode_face(record) for row, record in records.items()}
    found = []
    for part in rows:
        if not len(part):
            found.append(np.empty(0))
            continue
        first, second = (np.stack([pictures[row] for row in part[:, side].tolist()]) for side in (0, 1))
        found.append(perceptual_distances(network, first, second))
    return PerceptualSpread(*found)
