"""Sheets of what an inspection found: real faces beside their likenesses, doubled, misplaced and poor pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vec2face.evaluation.dataset import ImageRecord
from vec2face.evaluation.face_sets import AuditedSet
from vec2face.evaluation.findings import MIXED_IDENTITY, NEAR_DUPLICATE, OUTLIER, POOR, WRONG_LABEL, Finding
from vec2face.evaluation.findings_table import name_of
from vec2face.evaluation.inspection import Inspection
from vec2face.evaluation.leakage_found import CENTRES, Leakage
from vec2face.evaluation.plots import plot_nearest
from vec2face.evaluation.references import RealFaces
from vec2face.evaluation.row_cache import decode_face
from vec2face.evaluation.sheets import DEFECTS, LEAKS, SheetRow, draw_sheet, save_sheet

ROWS, COLUMNS = 8, 6
NAME_LENGTH = 24
PAIRS = 4  # of each comparison with real faces
CAPTION_LENGTH = 18

Pixels = NDArray[np.uint8]

# File name without its ending -> title, note. "leaks-N" is that of the Nth reference.
DEFECT_SHEETS = ("misplaced", "doubled", "poor", *(f"leaks-{n}" for n in range(1, 9)))


def draw_inspection(source: AuditedSet, inspection: Inspection) -> list[dict[str, Any]]:
    """Draw the sheets and plots of an inspection into the set's report folder; see `figures.draw_figures`."""
    figures = []
    for name, kinds, title, caption in (
        ("misplaced", (MIXED_IDENTITY, WRONG_LABEL, OUTLIER), "Images that do not belong", _MISPLACED),
        ("doubled", (NEAR_DUPLICATE,), "Images that are there twice", "Nearly the same picture, perhaps mirrored."),
        ("poor", (POOR,), "Poor images", "Blurred, flat, too dark or too bright, or hardly recognisable."),
    ):
        findings = [one for kind in kinds for one in inspection.findings if one.kind == kind]
        if findings:
            path = source.report_folder / f"{name}.jpg"
            _draw(path, title, source, inspection, findings)
            figures.append({"file": path.name, "kind": DEFECTS, "title": title, "caption": caption})
    for number, (leak, real) in enumerate(zip(inspection.leaks, inspection.real, strict=True), start=1):
        name = leak.reference.name
        plot = source.report_folder / f"leaks-{number}.png"
        first = leak.comparisons[0]
        plot_nearest(
            plot,
            first.nearest,
            first.baseline.nearest,
            threshold=first.threshold,
            title=f"Highest cosine of each image to {name}",
        )
        caption = (
            "How close the nearest real face comes: to each image of the dataset, and to real people who are somebody "
            "else. Right of the line it counts as a likeness."
        )
        figures.append({"file": plot.name, "kind": "scores", "title": f"Nearest real face, {name}", "caption": caption})
        path = source.report_folder / f"leaks-{number}.jpg"
        title = f"Closest to {name}"
        shown = _draw_leaks(path, title, source, inspection, leak, real)
        figures.append({"file": path.name, "kind": LEAKS, "title": title, "caption": shown})
    return figures


_MISPLACED = (
    "Left the image, or those of the smaller of two groups; right others of the same identity, then the identity that "
    "it is nearer to."
)


def _draw(path: Path, title: str, source: AuditedSet, inspection: Inspection, findings: Sequence[Finding]) -> None:
    rows, seen = [], set()
    for one in findings:
        key = (one.kind, one.identities[0]) if one.kind != POOR else one.images
        if key in seen:
            continue  # another identity shows more than another image of the same
        seen.add(key)
        rows.append(_row(source, inspection, one))
        if len(rows) == ROWS:
            break
    note = f"{len(rows)} of {len(findings):,}"
    save_sheet(draw_sheet(rows, title=title, note=note), path)


def _row(source: AuditedSet, inspection: Inspection, finding: Finding) -> SheetRow:
    people = inspection.measurement.people
    shown = list(finding.images[: COLUMNS // 2])
    split = len(shown)
    if finding.kind in (MIXED_IDENTITY, WRONG_LABEL, OUTLIER):
        for identity in finding.identities:
            person = int(np.searchsorted(people.identities, identity))
            others = range(int(people.starts[person]), int(people.starts[person + 1]))
            shown += [at for at in others if at not in finding.images][: COLUMNS - split if len(shown) == split else 2]
    embedded = inspection.measurement.embedded
    starts = people.starts[np.searchsorted(people.identities, finding.identities)]
    rows, firsts = embedded.rows[shown].tolist(), embedded.rows[starts].tolist()
    records = source.fetch_rows([*rows, *firsts])
    lines = [finding.kind, *(_called(records[row]) for row in firsts)]
    lines += [] if finding.value is None else [f"{finding.value:.2f}"]
    pictures = [decode_face(records[row]) for row in rows]
    return SheetRow("\n".join(lines), pictures, split=split if len(shown) > split else 0)


def _called(record: ImageRecord) -> str:
    """What an image's identity is called: its number, and its person's name where it has one."""
    return f"{record.identity} {_short(name_of(record.person, record.identity))}".rstrip()


def _short(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..."


def _draw_leaks(
    path: Path, title: str, source: AuditedSet, inspection: Inspection, leak: Leakage, real: RealFaces
) -> str:
    """Draw the closest pairs of each comparison, and return what the sheet shows; the real side where it is here."""
    measurement = inspection.measurement
    rows = []
    for comparison in leak.comparisons:
        for pair in comparison.matches.closest[:PAIRS]:
            identity, row = int(comparison.identities[pair.query]), int(comparison.rows[pair.reference])
            person = int(np.searchsorted(measurement.people.identities, identity))
            own = np.arange(measurement.people.starts[person], measurement.people.starts[person + 1])
            first = own if comparison.kind == CENTRES else np.array([pair.query, *own[own != pair.query]])
            shown = measurement.embedded.rows[first[: COLUMNS // 2]].tolist()
            records = source.fetch_rows(shown)
            left = [decode_face(records[at]) for at in shown]
            beside = [] if real.pictures is None else _same_person(real, row)
            right = _pictures(real.pictures, beside)
            if beside:
                captions = [*[""] * len(left), *(_end_of(real.faces.keys[one]) for one in beside)]
            else:
                captions = [_end_of(real.faces.keys[row]), *[""] * (len(left) - 1)]
            who = [_called(records[shown[0]]), _short(real.faces.person_of(row) or "")]
            label = [comparison.kind, *filter(None, who), f"cosine {pair.cosine:.2f}"]
            label.append(_mark(pair.cosine, comparison.threshold))
            rows.append(SheetRow("\n".join(label), left + right, captions, split=len(left) if right else 0))
    note = "left: the dataset; right: the real person"
    caption = "Left the dataset, right the real person whom it is closest to, whether or not it counts as a likeness."
    if real.pictures is None:
        note = "the dataset; under it the real face that it is closest to, whose picture is elsewhere"
        caption = (
            "The dataset's side of the closest pairs, whether or not they count as likenesses. Under each stands the "
            "name of the real face; its picture is not here."
        )
    save_sheet(draw_sheet(rows, title=title, note=note), path)
    return caption


def _mark(cosine: float, limit: float | None) -> str:
    if limit is None:
        return "no limit"
    return "a likeness" if cosine >= limit else "below the limit"


def _end_of(key: str) -> str:
    """The end of a long name: folders stand before what tells images apart."""
    return key if len(key) <= CAPTION_LENGTH else f"...{key[3 - CAPTION_LENGTH :]}"


def _same_person(real: RealFaces, row: int) -> list[int]:
    number = real.faces.people[row]
    others = np.flatnonzero(real.faces.people == number) if number >= 0 else np.array([row])
    return [row, *[int(other) for other in others if other != row]][: COLUMNS // 2]


def _pictures(source: AuditedSet | None, rows: Sequence[int]) -> list[Pixels]:
    if source is None:
        return []
    records = source.fetch_rows(rows)
    return [decode_face(records[row]) for row in rows]
