"""Write evaluations as Markdown and as one HTML file that needs no other. No torch here.

Both come from one `Document`, so that they say the same.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vec2face.cards import formats
from vec2face.errors import CardError
from vec2face.fileio.atomic import write_text

PIXELS_ASSUMED = "no contract file lies beside the network, so ArcFace's pixels are assumed"


@dataclass(frozen=True)
class Section:
    """A part of a document.

    Attributes:
        title: its heading.
        notes: paragraphs before the table.
        columns, rows: the table; the first column names the row. Empty for none.
        figures: file names of plots beside the document, and what they show.
    """

    title: str
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Document:
    """A title, a line below it, and sections."""

    title: str
    subtitle: str
    sections: tuple[Section, ...] = field(default=())


def write_document(document: Document, folder: Path, name: str) -> None:
    """Write `NAME.md` and `NAME.html`.

    Raises:
        CardError: a plot is missing.
        StorageError: a file cannot be written.
    """
    for ending, escape in (("md", False), ("html", True)):
        environment = Environment(
            loader=PackageLoader("vec2face.cards"),
            undefined=StrictUndefined,
            autoescape=escape,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters["cell"] = formats.cell
        environment.filters["inlined"] = lambda file: _inlined(folder / file)
        text = environment.get_template(f"document.{ending}.j2").render(document=document)
        write_text(folder / f"{name}.{ending}", text)


def evaluation_document(facts: Mapping[str, Any]) -> Document:
    """Lay out the facts of one evaluation (see `vec2face.evaluation.benchmark`).

    Raises:
        CardError: a fact is missing, or the protocol is unknown.
    """
    try:
        sections = (*PROTOCOLS[facts["protocol"]](facts), *_about(facts))
        return Document(
            title=f"{facts['subject']['name']}: {facts['protocol']}",
            subtitle=f"Measured by vec2face {facts['vec2face']} in {facts['seconds']:,.0f} s.",
            sections=sections,
        )
    except KeyError as error:
        raise CardError(f"the result lacks the fact {error}; run the evaluation again.") from None


def comparison_document(facts: Mapping[str, Any], *, figure: str | None) -> Document:
    """Lay out the facts of a comparison (see `vec2face.evaluation.compare`).

    Args:
        figure: file name of the plot beside the document, or None.
    """
    columns, rows = facts["columns"], facts["rows"]
    notes = ["Accuracy in percent. A dash: not measured, or not published."]
    if facts["differing"]:
        notes.append(
            f"The images or pairs behind {', '.join(facts['differing'])} differ between the results, so those columns "
            "compare different sets."
        )
    if facts["warning"] is not None:
        marks = "; ".join(f"{mark}: {meaning}" for mark, meaning in facts["marks"].items())
        notes += [facts["warning"], f"Marks of published rows: {marks}."]
    if facts["any_size"]:
        notes.append(
            f"{', '.join(facts['any_size'])}: the sources do not state how many pairs there are, so any set of that "
            "name stands in its column."
        )
    table = [
        (
            row["name"],
            "this machine" if row["own"] else f"published [{row['mark']}]",
            row["people"] or "-",
            row["images"] or "-",
            *(f"{row['scores'][column]:.2f}" if column in row["scores"] else "-" for column in columns),
        )
        for row in rows
    ]
    first, *others = rows
    recipes = [(row["name"], *(value or "not stated" for value in row["recipe"].values())) for row in rows]
    return Document(
        title="Comparison of recognisers",
        subtitle=f"Set side by side by vec2face {facts['vec2face']}.",
        sections=(
            Section(
                "Accuracy",
                notes=tuple(notes),
                columns=("training set or run", "measured", "people x images", "images", *columns),
                rows=tuple(table),
                figures=((figure, "Highest first; runs of this machine in red"),) if figure is not None else (),
            ),
            Section(
                f"What differs from {first['name']}",
                notes=("Of what both state. Published rows are of other training sets; that is not repeated here.",),
                columns=("", "differs", "not stated by both"),
                rows=tuple(
                    (row["name"], "; ".join(row["differs"]) or "nothing that both state", ", ".join(row["unstated"]))
                    for row in others
                ),
            ),
            Section("Recipes", columns=("", *first["recipe"]), rows=tuple(recipes)),
            Section(
                "Sources",
                columns=("", "source", "note"),
                rows=tuple((row["name"], row["source"], row["note"] or "") for row in rows),
            ),
        ),
    )


def points(value: float, digits: int = 2) -> str:
    """A share in [0, 1] in percent, without the sign: 0.98765 -> "98.77"."""
    return f"{100 * value:.{digits}f}"


def _verification(facts: Mapping[str, Any]) -> list[Section]:
    fars = list(facts["sets"][0]["tar_at_far"])
    rows = []
    for found in facts["sets"]:
        accuracy, val, bounds = found["accuracy"], found["val"], found["intervals"]
        rows.append(
            (
                _title(found),
                f"{found['pairs']:,}",
                f"{points(accuracy['mean'])} +- {points(accuracy['std'])}",
                _bounds(bounds["accuracy"]),
                f"{points(val['mean'])} +- {points(val['std'])}{_folds_used(found)}",
                f"{points(found['eer'])} {_bounds(bounds['eer'])}",
                f"{found['auc']:.5f}",
                *(_tar(found["tar_at_far"][far], bounds["tar_at_far"][far]) for far in fars),
            )
        )
    level = 100 * facts["sets"][0]["intervals"]["level"]
    sections = [
        Section(
            "Verification",
            notes=(
                "Accuracy and VAL: mean and standard deviation over consecutive folds, each with the threshold that "
                "the other folds give; embeddings of image and mirror image summed. VAL at a false accept rate of "
                f"{facts['sets'][0]['val']['target_far']:g}, over the folds that hold pairs of one person. In "
                f"brackets: {level:.0f} % bootstrap intervals over pairs. All in percent but AUC.",
            ),
            columns=("set", "pairs", "accuracy", "interval", "VAL", "EER", "AUC", *(f"TAR@{far}" for far in fars)),
            rows=tuple(rows),
            figures=_verification_figures(facts["figures"]),
        )
    ]
    sections += [_group_section(group) for group in facts["groups"]]
    if facts["benchmarks"]:
        scores = facts["benchmarks"]
        sections.append(
            Section(
                "As papers report it",
                notes=(
                    "Accuracy in percent; the average is of all five sets and stands only where all were measured.",
                ),
                columns=("", *scores),
                rows=((facts["subject"]["name"], *(f"{value:.2f}" for value in scores.values())),),
            )
        )
    return sections


def _group_section(group: Mapping[str, Any]) -> Section:
    ratio, common = group["skewed_error_ratio"], group["common"]
    notes = ["Standard deviation over groups; skewed error ratio: highest over lowest error."]
    rows = [
        (
            "accuracy",
            *(points(value) for value in group["accuracies"].values()),
            points(group["mean"]),
            points(group["std"]),
            "not defined" if ratio is None else f"{ratio:.2f}",
        )
    ]
    if common is not None:
        notes.append(
            f"FMR and FNMR: all groups at one threshold (cosine {common['cosine']:.3f}), where the false match rate "
            f"over all of them is {common['fmr']:g}; in percent."
        )
        for title, values in (("FMR", common["false_matches"]), ("FNMR", common["false_non_matches"])):
            rates = list(values.values())
            mean = sum(rates) / len(rates)
            std = (sum((rate - mean) ** 2 for rate in rates) / len(rates)) ** 0.5
            spread = f"{max(rates) / min(rates):.2f}" if min(rates) > 0 else "not defined"
            rows.append((title, *(points(rate) for rate in rates), points(mean), points(std), spread))
    return Section(
        f"{group['benchmark']}: how evenly groups are served",
        notes=tuple(notes),
        columns=("", *group["accuracies"], "mean", "std", "highest over lowest error"),
        rows=tuple(rows),
    )


def _ijb(facts: Mapping[str, Any]) -> list[Section]:
    rows = []
    for run in facts["settings"]:
        tars = ["too few pairs" if value is None else points(value) for value in run["tar_at_far"].values()]
        rows.append((run["setting"], *tars, points(run["eer"]), f"{run['auc']:.6f}"))
    counts = facts["counts"]
    fars = list(facts["settings"][0]["tar_at_far"])
    return [
        Section(
            f"{facts['benchmark']}: 1:1 between templates",
            notes=(
                f"{counts['images']:,} images of {counts['templates']:,} templates, {counts['genuine']:,} genuine and "
                f"{counts['impostor']:,} impostor pairs. N1 keeps the embedding's length, N0 does not; D1 weighs it by "
                "the detector's score, D0 does not; image and mirror image are summed (F2). TAR in percent, at the "
                "point of the ROC nearest to the false accept rate.",
            ),
            columns=("setting", *(f"TAR@{far}" for far in fars), "EER", "AUC"),
            rows=tuple(rows),
            figures=(("roc.png", "ROC"),) if facts["figures"] else (),
        )
    ]


def _identification(facts: Mapping[str, Any]) -> list[Section]:
    counts = facts["counts"]
    return [
        Section(
            "Closed-set identification",
            notes=(
                f"{counts['probes']:,} probes of {counts['probe_people']:,} people against {counts['gallery']:,} "
                f"gallery images of {counts['gallery_people']:,} people and {counts['distractors']:,} distractors; "
                "cosine, every probe with every gallery image. A tie with a stranger counts against.",
            ),
            columns=tuple(f"rank {rank}" for rank in facts["rank_rates"]),
            rows=(tuple(points(value) for value in facts["rank_rates"].values()),),
            figures=(("cmc.png", "Cumulative match characteristic"),) if facts["figures"] else (),
        )
    ]


def _about(facts: Mapping[str, Any]) -> list[Section]:
    subject = facts["subject"]
    rows = [("reference", str(subject["reference"])), ("digest (SHA-256)", subject["digest"])]
    if subject["kind"] == "network":
        contract = subject["contract"]
        rows += [
            ("network", f"{subject['network']}, {subject['width']} values"),
            (
                "pixels",
                f"{contract['size']}x{contract['size']} {contract['color_order']}, mean {_numbers(contract['mean'])}, "
                f"std {_numbers(contract['std'])}, {contract['alignment']}",
            ),
            *([("pixels known from", f"nothing: {PIXELS_ASSUMED}")] if subject["contract_assumed"] else ()),
            ("device", subject["device"]),
        ]
    else:
        rows.append(("embeddings", "computed elsewhere; how images were fed is not known here"))
    sections = [Section("What was measured", columns=("", ""), rows=tuple(rows))]
    inputs = [(_title(found), found["source"], found["digest"]) for found in facts.get("sets", ())]
    if inputs:
        sections.append(Section("Sets", columns=("set", "file", "digest (SHA-256)"), rows=tuple(inputs)))
    if facts.get("training"):
        told = tuple(_flattened(facts["training"], ""))
        sections.append(Section("How it was trained", columns=("fact", "value"), rows=told))
    return sections


def _flattened(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Nested facts as lines: {"recipe": {"seed": 1}} -> ("recipe.seed", "1"); what has no value is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flattened(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        for number, inner in enumerate(value):
            yield from _flattened(inner, f"{name}[{number}]")
    elif value is not None:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _verification_figures(figures: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    if figures is None:
        return ()
    return ((figures["roc"], "ROC"), *((file, f"scores of {name}") for name, file in figures["scores"].items()))


def _title(found: Mapping[str, Any]) -> str:
    return str(found["name"] if found["group"] is None else f"{found['group']}/{found['name']}")


def _folds_used(found: Mapping[str, Any]) -> str:
    """Over how many folds VAL is, where some hold no pairs of one person."""
    used, folds = found["val"]["folds"], found["folds"]
    return "" if used == folds else f" ({used} of {folds} folds)"


def _bounds(bounds: list[float]) -> str:
    return f"[{points(bounds[0])}, {points(bounds[1])}]"


def _tar(value: float | None, bounds: list[float] | None) -> str:
    return "too few pairs" if value is None or bounds is None else f"{points(value)} {_bounds(bounds)}"


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _inlined(path: Path) -> Markup:
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise CardError(f"the figure {path} cannot be read ({error.strerror}); run the evaluation again.") from None
    return Markup(f"data:image/png;base64,{data}")


PROTOCOLS: dict[str, Callable[[Mapping[str, Any]], list[Section]]] = {
    "verification": _verification,
    "ijb": _ijb,
    "identification": _identification,
}
