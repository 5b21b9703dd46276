"""The section "demographics" of an audit's facts: how a set's people are divided over groups, as probes estimate it.

name, sha256        of the probes (see `vec2face.evaluation.group_probes`)
embedder            whose vectors they read
identities, images  how many were measured
by                  a list, for each probe: name, note, lasting, agreement, expected_agreement, unexplained, doubt (see
                    `vec2face.evaluation.group_shares`; "" for none), and groups, a list: name, counted, corrected, low,
                    high (null where there is a doubt), and missed, mistaken, faces (the probe's errors, on so many
                    held-out faces of the group)
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vec2face.checkpoints import digest, load_embedder
from vec2face.config.audit import AuditOptions
from vec2face.evaluation.embeddings import EmbeddedImages, embed_dataset, move
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.group_probes import GroupProbe, GroupProbes, open_group_probes
from vec2face.evaluation.group_shares import measure_shares
from vec2face.evaluation.group_window import WindowedEmbedder
from vec2face.evaluation.people import People
from vec2face.fileio.atomic import fingerprint
from vec2face.progress import ProgressReporter

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder

IMAGES = 4
"""Images of each identity that are measured where they are embedded for this alone; shares of people need no more."""

_BLOCK = 8192


class Demographics:
    """The probes of an audit and their embedder, opened before any work.

    Args:
        probes: of the groups.
        device: where images are embedded, if they are not yet.

    Raises:
        ContractError: the probes' embedder has changed since they were fitted.
        WeightsError: it cannot be loaded.
    """

    def __init__(self, probes: GroupProbes, *, device: str) -> None:
        reference = probes.embedder["reference"]
        probes.require_embedder(digest(reference, kind="embedder"))
        self._probes, self._device = probes, device
        self._network: FaceEmbedder = load_embedder(reference)

    @classmethod
    def open(cls, options: AuditOptions) -> "Demographics | None":
        """Open those that the options name; None where they name none. Raises as the class, and `InputError`."""
        probes = open_group_probes(options.groups)
        return None if probes is None else cls(probes, device=options.device)

    def measure(
        self,
        source: AuditedSet,
        embedded: Mapping[str, EmbeddedImages],
        *,
        options: AuditOptions,
        excluded: Collection[int],
        progress: ProgressReporter,
    ) -> dict[str, Any]:
        """Count a set's people over the groups of each probe.

        Args:
            source: the set.
            embedded: what embedders made of the set, by their digests; it is embedded again only where the probes' own
                is not among them.
            options: how much is measured.
            excluded: identities that are not measured.
            progress: receives every stage.

        Raises:
            DatasetError, InputError, StorageError: see `embed_dataset`.
        """
        sha256, window = self._probes.embedder["sha256"], self._probes.window
        network, cap = move(self._network, self._device), options.images_per_identity
        if window is not None:
            network, cap = WindowedEmbedder(network, window), min(cap or IMAGES, IMAGES)
            sha256 = fingerprint({"embedder": sha256, "window": window.model_dump()})
        found = embedded.get(sha256) or embed_dataset(
            source,
            network,
            embedder_digest=sha256,
            images_per_identity=cap,
            batch_size=options.batch_size,
            excluded=excluded,
            progress=progress,
        )
        people = People.of(found.identity)
        return {
            "name": self._probes.name,
            "sha256": self._probes.sha256,
            "embedder": self._probes.embedder["name"],
            "identities": len(people),
            "images": len(found),
            "by": [_facts(probe, found, people, options.seed) for probe in self._probes.probes],
        }


def _facts(probe: GroupProbe, embedded: EmbeddedImages, people: People, seed: int) -> dict[str, Any]:
    blocks = [np.arange(start, min(start + _BLOCK, len(embedded))) for start in range(0, len(embedded), _BLOCK)]
    counted_for = np.concatenate([probe.count(embedded.gather(block)) for block in blocks])
    shares = measure_shares(counted_for, people.starts, probe.confusion, seed=seed)
    faces, doubt = probe.confusion.sum(axis=1), shares.doubt(lasting=probe.lasting)
    return {
        "name": probe.name,
        "note": probe.note,
        "lasting": probe.lasting,
        "agreement": shares.agreement,
        "expected_agreement": shares.expected,
        "unexplained": shares.unexplained,
        "doubt": doubt,
        "groups": [
            {
                "name": group,
                "counted": float(shares.counted[number]),
                "corrected": None if doubt else float(shares.corrected[number]),
                "low": None if doubt else float(shares.low[number]),
                "high": None if doubt else float(shares.high[number]),
                "missed": float(probe.missed[number]),
                "mistaken": float(probe.mistaken[number]),
                "faces": int(faces[number]),
            }
            for number, group in enumerate(probe.groups)
        ],
    }
