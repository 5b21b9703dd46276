"""Render the card and the report. No torch here.

Both come from templates that see nothing but the facts: a number that stands in a document stands in `facts.json`.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from vec2face.cards import formats
from vec2face.cards.facts import Facts
from vec2face.errors import CardError
from vec2face.fileio.atomic import write_text

FACTS = "facts.json"
_MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}


def read_facts(path: Path) -> dict[str, Any]:
    """Read a `facts.json`. Raises `CardError` if it is missing or damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CardError(f"cannot read the facts {path} ({error}); run `vec2face audit` on the dataset.") from None
    if not isinstance(facts, dict):
        raise CardError(f"{path} does not hold an audit's facts; run `vec2face audit` on the dataset.")
    return facts


def find_facts(dataset: Path) -> tuple[Path, dict[str, Any]]:
    """Return the facts of a dataset's audit and the file they stand in.

    Args:
        dataset: a dataset's folder, a folder with a `facts.json`, or such a file.

    Raises:
        CardError: there are none, they are damaged, or the dataset was changed since its audit; or they are of faces
            that no recipe made, which have no card.
    """
    if not dataset.is_dir():
        facts = read_facts(dataset)
        _refuse_foreign(facts, dataset)
        return dataset, facts
    path = next((place for place in (dataset / "report" / FACTS, dataset / FACTS) if place.is_file()), None)
    if path is None:
        raise CardError(f"{dataset} holds no {FACTS}; run `vec2face audit` on the dataset first.")
    facts = read_facts(path)
    _refuse_foreign(facts, path)
    description = dataset / "dataset.json"
    if description.is_file():
        now = read_facts(description).get("fingerprint")
        if now != Facts(facts)["dataset"]["fingerprint"]:
            raise CardError(f"{dataset} was changed after its audit; run `vec2face audit` on it again.")
    return path, facts


def write_card(facts: Mapping[str, Any], path: Path) -> None:
    """Write a dataset card: Markdown with the metadata header that the Hugging Face hub reads.

    Args:
        facts: an audit's facts (see `vec2face.evaluation.audit`).

    Raises:
        CardError: a fact is missing; the message names it.
        StorageError: the file cannot be written.
    """
    environment = _environment(autoescape=False)
    environment.filters["cell"] = formats.cell
    write_text(path, _render(environment, "card.md.j2", facts))


def write_report(facts: Mapping[str, Any], path: Path) -> None:
    """Write a report: one HTML file that needs no other, with sheets and plots inside it.

    Args:
        facts: an audit's facts; the figures they name stand in the folder of `path`.

    Raises:
        CardError: a fact or a figure is missing; the message names it.
        StorageError: the file cannot be written.
    """
    environment = _environment(autoescape=True)
    environment.filters["inlined"] = lambda name: _inlined(path.parent / name)
    write_text(path, _render(environment, "report.html.j2", facts))


def _refuse_foreign(facts: Mapping[str, Any], path: Path) -> None:
    """A card says how a dataset was generated and under which terms; of other faces the facts say too little."""
    if "labelled" in (facts.get("dataset") or {}):
        raise CardError(
            f"only generated datasets have cards, and {path} is of faces that no recipe made (imported, merged, a "
            "subset, or from elsewhere); report.html beside it says what was measured."
        )


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("vec2face.cards"),
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_refuse_none,
    )
    environment.filters |= formats.FILTERS
    return environment


def _render(environment: Environment, template: str, facts: Mapping[str, Any]) -> str:
    try:
        # In the order of facts.json, so that a document made from the file is the same.
        ordered = json.loads(json.dumps(facts, sort_keys=True))
        return environment.get_template(template).render(facts=Facts(ordered))
    except UndefinedError as error:
        raise CardError(f"the facts do not fit {template}: {error}; run `vec2face audit` again.") from None


def _refuse_none(value: Any) -> Any:
    if value is None:
        raise CardError("a fact that the card states has no value; run `vec2face audit` on the dataset again.")
    return value


def _inlined(path: Path) -> Markup:
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise CardError(f"the figure {path} cannot be read ({error.strerror}); run `vec2face audit` again.") from None
    if path.suffix not in _MEDIA_TYPES:
        raise CardError(f"the figure {path} is neither a .jpg nor a .png; run `vec2face audit` again.")
    return Markup(f"data:{_MEDIA_TYPES[path.suffix]};base64,{data}")
