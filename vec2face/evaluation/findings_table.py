"""Every finding with its names: the table `report/findings.csv`, and what images and people are called in it.

One row per finding, by kind, the worst of each first. Columns:

    kind            one of `vec2face.evaluation.findings.KINDS`
    identity        number of the identity; what is wrong is wrong with this one
    person          its name, where it has one
    other_identity  number of the other identity, where two are concerned
    other_person    its name, where it has one
    images          keys of the images, " | " between them
    value           what decided it, a cosine; empty where nothing of the kind did
    reason          the rest of the sentence
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.findings import Finding
from vec2face.evaluation.measure import Measurement
from vec2face.fileio.atomic import write_text

FILE_NAME = "findings.csv"
COLUMNS = ("kind", "identity", "person", "other_identity", "other_person", "images", "value", "reason")
BETWEEN_IMAGES = " | "
_ROWS = 1000  # records held at a time


@dataclass(frozen=True)
class Names:
    """What is called how.

    Attributes:
        images: position of an image (in an `EmbeddedImages`) -> its key.
        people: identity -> its person's name; "" where there is none but the number.
    """

    images: dict[int, str]
    people: dict[int, str]


def read_names(source: AuditedSet, findings: Iterable[Finding], measurement: Measurement) -> Names:
    """Read the keys of all images and the names of all identities that findings concern.

    Raises:
        DatasetError, InputError: an image cannot be read.
    """
    people, embedded = measurement.people, measurement.embedded
    images: set[int] = set()
    identities: set[int] = set()
    for one in findings:
        images.update(one.images)
        identities.update(one.identities)
    image_rows = {image: int(embedded.rows[image]) for image in images}
    first_rows = {
        identity: int(embedded.rows[people.starts[np.searchsorted(people.identities, identity)]])
        for identity in identities
    }
    keys: dict[int, str] = {}
    persons: dict[int, str] = {}
    wanted = sorted({*image_rows.values(), *first_rows.values()})
    for start in range(0, len(wanted), _ROWS):
        for row, record in source.fetch_rows(wanted[start : start + _ROWS]).items():
            keys[row], persons[row] = record.key, name_of(record.person, record.identity)
    return Names(
        images={image: keys[row] for image, row in image_rows.items()},
        people={identity: persons[row] for identity, row in first_rows.items()},
    )


def name_of(person: str, identity: int) -> str:
    """The name of an identity's person; "" where the name is nothing but the identity's number."""
    return "" if person.isdecimal() and int(person) == identity else person


def write_findings(path: Path, findings: Sequence[Finding], names: Names) -> None:
    """Write the table of all findings, UTF-8 with a header line. Raises `StorageError`."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in findings:
        who: list[str] = []
        for identity in one.identities[:2]:
            who += [str(identity), names.people.get(identity, "")]
        who += [""] * (4 - len(who))
        images = BETWEEN_IMAGES.join(names.images[image] for image in one.images)
        value = "" if one.value is None else f"{one.value:.6g}"
        table.writerow([one.kind, *who, images, value, one.reason])
    write_text(path, stream.getvalue())
