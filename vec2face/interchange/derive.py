"""Make a dataset of this toolkit from images that stand elsewhere: what import, merge, subset and split share.

The new dataset is complete in itself: archives, manifests, table, `dataset.json` with where it comes from, `origin.csv`
with who each person was there, and the identity bank where all sources had one. `vec2face verify` knows it; `vec2face
generate` cannot continue it, since no recipe made it.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from vec2face import __version__
from vec2face.fileio.atomic import fingerprint, write_json
from vec2face.fileio.mirror import local_file
from vec2face.generation.bank_digest import content_digest
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.plan import FORMAT
from vec2face.generation.repairs import BANK
from vec2face.identities.bank import IdentityBank
from vec2face.interchange.export import write_labels
from vec2face.interchange.features import AsStored
from vec2face.interchange.selection import Selection
from vec2face.interchange.source import FaceSource
from vec2face.interchange.workplace import Workplace, is_complete
from vec2face.interchange.write import WrittenSet, facts_of, write_blocks
from vec2face.interchange.writers.dataset import DatasetWriter
from vec2face.progress import ProgressReporter

DESCRIPTION = "dataset.json"
ORIGIN_TABLE = "origin.csv"
IMAGES_PER_SHARD = 10_000


def derive(
    place: Workplace,
    selection: Selection,
    *,
    command: str,
    name: str,
    settings: Mapping[str, Any],
    terms: Mapping[str, Any],
    images_per_shard: int,
    progress: ProgressReporter,
) -> WrittenSet:
    """Write the dataset of a selection, or go on with it, and give it its name.

    Args:
        place: where it grows.
        selection: the images.
        command: what makes it: "import", "merge", "subset" or "split".
        name: of the dataset.
        settings: what the command was asked for, as far as it decides the bytes.
        terms: what the user states of licence and consent; empty where the sources say it themselves.
        images_per_shard: images of one archive.
        progress: receives every stage.

    Raises:
        InputError, DatasetError: an image is unusable, or the output is of other settings.
        StorageError: it cannot be written; whole shards are kept.
    """
    sources = tuple(part.source for part in selection.taken)
    bank = joined_bank(selection)
    bank_sha256 = None if bank is None else content_digest(bank)
    determinants = {
        "format": FORMAT,
        "command": command,
        "name": name,
        "images_per_shard": images_per_shard,
        "images": len(selection),
        **settings,
        **{f"source {number}": source.identify() for number, source in enumerate(sources)},
        BANK: bank_sha256,
    }
    # Through JSON, as it will be read.
    determinants = json.loads(json.dumps(determinants))
    facts = facts_of(selection, feature_dim=None)
    if is_complete(place.out, DESCRIPTION, determinants):
        return WrittenSet(place.out, DatasetWriter.format, facts.images, len(facts.people), 0, 0.0)
    writer = DatasetWriter(place.folder, facts, block=images_per_shard, fingerprint=fingerprint(determinants))
    place.begin(determinants)
    written, seconds = write_blocks(
        place, writer, selection, stage=f"writing {place.out.name}", vectors=AsStored(), progress=progress
    )
    write_labels(place.folder / ORIGIN_TABLE, selection, facts.counts.tolist())
    folder = DatasetFolder(place.folder)
    if bank is not None:
        bank.save(folder.identities)
    origin = {
        "command": command,
        "vec2face": __version__,
        "settings": dict(settings),
        "terms": dict(terms),
        "sources": [{**source.lineage(), **source.identify()} for source in sources],
    }
    write_json(
        folder.description,
        {
            "format": FORMAT,
            "name": name,
            "fingerprint": fingerprint(determinants),
            "determinants": determinants,
            "origin": origin,
            "recipe": None,
            "identities": {
                "count": len(facts.people),
                "sha256": bank_sha256,
                "dim": None if bank is None else bank.width,
            },
            "images": facts.images,
            "shards": writer.shards,
        },
    )
    place.publish()
    return WrittenSet(place.out, DatasetWriter.format, facts.images, len(facts.people), written, seconds)


def joined_bank(selection: Selection) -> IdentityBank | None:
    """Return the vectors of the people, where every source is a dataset with vectors of one width; else None."""
    banks: list[IdentityBank] = []
    for part in selection.taken:
        bank = bank_of(part.source)
        if bank is None or (banks and bank.width != banks[0].width):
            return None
        banks.append(bank)
    vectors = np.stack([banks[person.source].vectors[person.number] for person in selection.people])
    names = tuple(person.name for person in selection.people)
    return IdentityBank(vectors, names, {"source": "datasets", "banks": [content_digest(bank) for bank in banks]})


def bank_of(source: FaceSource) -> IdentityBank | None:
    """Return the identity bank of a dataset, or None where there is none. Raises `InputError` if it is damaged."""
    if source.table is None or source.table.description["identities"]["sha256"] is None:
        return None
    return IdentityBank.load(local_file(source.table.folder.identities))


def terms_of(source: FaceSource) -> dict[str, Any]:
    """Return the terms that a source states of itself, so that a part of it keeps them."""
    if source.table is None:
        return {}
    return dict(source.table.description.get("origin", {}).get("terms", {}))
