"""Which images of a dataset stand on the sheets of its report, and the files they are written to."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.defect_sheets import DEFECT_SHEETS
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.measure import Measurement
from vec2face.evaluation.plots import plot_by_sigma, plot_scores
from vec2face.evaluation.row_cache import decode_face
from vec2face.evaluation.sheets import SheetRow, draw_sheet, person_sheet, save_sheet
from vec2face.fileio.atomic import explain_os_error
from vec2face.seeding import rng_for

PEOPLE_ROWS, PEOPLE_COLUMNS = 12, 8
WORST_ROWS, CLOSEST_ROWS = 6, 6
PERSON_IMAGES = 50
SECOND = "second-"  # begins the names of the second embedder's plots

Positions = NDArray[np.integer]


def draw_figures(reader: AuditedSet, measurement: Measurement, *, seed: int) -> list[dict[str, Any]]:
    """Draw the contact sheets of a dataset into its report folder.

    Returns:
        A description of each, in the order a report shows them: {"file", "kind", "title", "caption"}.
    """
    chosen = {
        "people": _people(measurement, seed),
        "person": [_person(measurement, seed)],
        "worst": [_by_cosine(measurement, person) for person in measurement.worst_people[:WORST_ROWS]],
        "closest": [_side_by_side(measurement, pair, seed) for pair in measurement.closest_people[:CLOSEST_ROWS]],
    }
    faces = _Faces(reader, measurement, [row for rows in chosen.values() for row in rows])
    figures = []
    for kind, rows in chosen.items():
        if not rows:
            continue  # one identity has no neighbour, and single images no worst identity
        path = reader.report_folder / f"{kind}.jpg"
        title, caption = _TEXTS[kind]
        draw = {"people": _draw_people, "person": _draw_person, "worst": _draw_worst, "closest": _draw_closest}[kind]
        draw(path, title, measurement, rows, faces)
        figures.append({"file": path.name, "kind": kind, "title": title, "caption": caption})
    return figures


def draw_plots(report: Path, measurement: Measurement, *, name: str, prefix: str) -> list[dict[str, Any]]:
    """Plot one embedder's scores into the report folder; described as by `draw_figures`."""
    figures = []
    if len(measurement.genuine.scores) and len(measurement.impostor.scores):
        path = report / f"{prefix}scores.png"
        plot_scores(
            path,
            measurement.genuine.scores,
            measurement.impostor.scores,
            threshold=measurement.threshold,
            title=f"Same-person and different-person scores ({name})",
        )
        caption = (
            "The less the two hills overlap, the better the labels. Right of the line two images count as one person."
        )
        figures.append({"file": path.name, "kind": "scores", "title": f"Pair scores, {name}", "caption": caption})
    if measurement.to_vector is not None:
        path = report / f"{prefix}vectors.png"
        title = f"Images against their vectors ({name})"
        plot_by_sigma(path, measurement.to_vector, measurement.embedded.sigma, title=title)
        caption = "How closely the generator follows an identity's vector, by strength of the perturbation."
        figures.append({"file": path.name, "kind": "vectors", "title": f"Fidelity, {name}", "caption": caption})
    return figures


def remove_other_figures(report: Path, figures: Iterable[Mapping[str, Any]]) -> None:
    """Remove the figures of an earlier audit that this one did not draw. Raises `StorageError`."""
    drawn = {figure["file"] for figure in figures}
    plots = [f"{prefix}{plot}.png" for prefix in ("", SECOND) for plot in ("scores", "vectors")]
    plots += [f"{sheet}.png" for sheet in DEFECT_SHEETS]
    plots += [path.name for path in report.glob("attribute-*.png")]
    for name in [*(f"{kind}.jpg" for kind in (*_TEXTS, *DEFECT_SHEETS)), *plots]:
        if name not in drawn:
            try:
                (report / name).unlink(missing_ok=True)
            except OSError as error:
                raise explain_os_error(error, report / name) from None


_TEXTS = {
    "people": ("People", "Identities and images drawn at random (under the audit's seed), not picked."),
    "person": ("One person", "Images of one identity drawn at random, with the strength of the perturbation."),
    "worst": ("Least consistent identities", "Their images that agree least with the others come first."),
    "closest": ("Most similar identities", "Left and right are two identities; they should not look like one person."),
}


class _Faces:
    """The decoded images that the sheets need, read once, and what their identities are called."""

    def __init__(self, reader: AuditedSet, measurement: Measurement, rows: Iterable[Positions]) -> None:
        self._embedded = measurement.embedded
        positions = np.unique(np.concatenate(list(rows)))
        self._records = reader.fetch_rows(self._embedded.rows[positions].tolist())
        self._numbered = isinstance(reader, DatasetReader)

    def of(self, positions: Positions) -> list[NDArray[np.uint8]]:
        return [decode_face(self._records[int(self._embedded.rows[position])]) for position in positions]

    def name(self, position: int) -> str:
        """What the identity of an image is called: its number in a dataset, its person's name elsewhere."""
        if self._numbered:
            return f"identity {self._embedded.identity[position]}"
        return self._records[int(self._embedded.rows[position])].person or f"person {self._embedded.identity[position]}"


def _people(measurement: Measurement, seed: int) -> list[Positions]:
    people = measurement.people
    rng = rng_for(seed, "audit-sheet-people")
    rows = np.sort(rng.choice(len(people), min(PEOPLE_ROWS, len(people)), replace=False))
    return [_some_images(measurement, int(person), PEOPLE_COLUMNS, seed) for person in rows]


def _person(measurement: Measurement, seed: int) -> Positions:
    person = int(rng_for(seed, "audit-sheet-person").integers(len(measurement.people)))
    return _images(measurement, person)[:PERSON_IMAGES]


def _side_by_side(measurement: Measurement, pair: tuple[int, int], seed: int) -> Positions:
    count = min(PEOPLE_COLUMNS // 2, *(int(measurement.people.counts[person]) for person in pair))
    return np.concatenate([_some_images(measurement, person, count, seed) for person in pair])


def _by_cosine(measurement: Measurement, person: int) -> Positions:
    positions = _images(measurement, person)
    return positions[np.argsort(measurement.images.to_centre[positions], kind="stable")][:PEOPLE_COLUMNS]


def _images(measurement: Measurement, person: int) -> Positions:
    return np.arange(measurement.people.starts[person], measurement.people.starts[person + 1])


def _some_images(measurement: Measurement, person: int, count: int, seed: int) -> Positions:
    positions = _images(measurement, person)
    rng = rng_for(seed, "audit-sheet-images", int(measurement.people.identities[person]))
    return np.sort(rng.choice(positions, min(count, len(positions)), replace=False))


def _draw_people(path: Path, title: str, m: Measurement, rows: Sequence[Positions], faces: _Faces) -> None:
    total = len(m.people)
    sheet = [SheetRow(faces.name(row[0]), faces.of(row)) for row in rows]
    note = f"{len(rows)} of {total:,} identities, a row each"
    save_sheet(draw_sheet(sheet, title=title, note=note), path)


def _draw_person(path: Path, title: str, m: Measurement, rows: Sequence[Positions], faces: _Faces) -> None:
    (row,) = rows
    captions = [f"{m.embedded.sigma[position]:.2g}" for position in row]
    save_sheet(person_sheet(faces.of(row), captions, title=f"{title}: {faces.name(row[0])}"), path)


def _draw_worst(path: Path, title: str, m: Measurement, rows: Sequence[Positions], faces: _Faces) -> None:
    sheet = []
    for person, row in zip(m.worst_people, rows, strict=False):
        label = f"{faces.name(row[0])}\nmean {m.person_means[person]:.2f}"
        sheet.append(SheetRow(label, faces.of(row), [f"{m.images.to_centre[position]:.2f}" for position in row]))
    save_sheet(draw_sheet(sheet, title=title, note="under each image: its cosine to the centre of the others"), path)


def _draw_closest(path: Path, title: str, m: Measurement, rows: Sequence[Positions], faces: _Faces) -> None:
    sheet = []
    for pair, row in zip(m.closest_people, rows, strict=False):
        label = f"{faces.name(row[0])}\n{faces.name(row[-1])}\ncosine {m.centre_cosine(pair):.2f}"
        sheet.append(SheetRow(label, faces.of(row), split=len(row) // 2))
    save_sheet(draw_sheet(sheet, title=title, note="cosine: between the two centres"), path)
