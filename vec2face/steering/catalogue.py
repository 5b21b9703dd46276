"""Which attributes there are, and from a name or a reference to an estimator.

Packages add attributes by the entry point group `vec2face.attributes`: the entry's name is the attribute's, its value
an `AttributeEstimator` or something that gives one when it is called without arguments.
"""

import importlib
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from vec2face.errors import InputError
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.image_statistics import Brightness, Contrast, Sharpness
from vec2face.steering.linear_probe import LinearProbe
from vec2face.steering.networks import Angle, open_pose, open_quality
from vec2face.steering.targets import require_known

ENTRY_POINT_GROUP = "vec2face.attributes"
STATISTICS: dict[str, type[AttributeEstimator]] = {
    "brightness": Brightness,
    "contrast": Contrast,
    "sharpness": Sharpness,
}
QUALITY = "quality"
_MODULE = re.compile(r"(?P<module>[\w.]+):(?P<attribute>[\w.]+)")


def open_estimators(names: Iterable[str], *, references: Iterable[str] = ()) -> list[AttributeEstimator]:
    """Return an estimator for each attribute named, in that order.

    Args:
        names: attributes; each is looked up among the references first, then the built-in ones, then entry points.
        references: `module:attribute` or probe folders of further estimators. What each measures is in its facts.

    Raises:
        ConfigError: a name that is not known; the message lists those that are.
        InputError: a reference that cannot be imported or is no estimator, or two of one name.
        WeightsError: the network behind a name is not on this machine.
    """
    own: dict[str, AttributeEstimator] = {}
    for reference in references:
        estimator = load_reference(reference)
        if estimator.facts.name in own:
            raise InputError(f"two estimators measure {estimator.facts.name!r}; name one of them.")
        own[estimator.facts.name] = estimator
    wanted = list(names)
    added = metadata.entry_points(group=ENTRY_POINT_GROUP)
    require_known(wanted, {*own, *STATISTICS, *get_args(Angle), QUALITY, *added.names})
    angles: list[Angle] = [angle for angle in get_args(Angle) if angle in wanted and angle not in own]
    found = {**own, **{one.facts.name: one for one in (open_pose(angles) if angles else [])}}
    for name in wanted:
        if name in found:
            continue
        if name in STATISTICS:
            found[name] = STATISTICS[name]()
        elif name == QUALITY:
            found[name] = open_quality()
        else:
            (entry,) = added.select(name=name)
            found[name] = load_reference(entry.value)
    return [found[name] for name in wanted]


def load_reference(reference: str) -> AttributeEstimator:
    """Import an estimator by `module:attribute`, or load the probe in a folder.

    Raises:
        InputError: it cannot be imported, or is no `AttributeEstimator` and gives none; the folder holds no probe.
        WeightsError: the probe's embedder cannot be loaded.
        ContractError: the probe's embedder has changed since.
    """
    if Path(reference).is_dir():
        return LinearProbe.load(Path(reference))
    parts = _MODULE.fullmatch(reference)
    if parts is None:
        raise InputError(f"{reference!r} names no estimator; give module:attribute or a probe's folder.")
    try:
        found: Any = importlib.import_module(parts["module"])
        for name in parts["attribute"].split("."):
            found = getattr(found, name)
        made = found if isinstance(found, AttributeEstimator) else found()
    except Exception as error:  # whatever a user's module raises is a fault of that module, to be told in one sentence
        raise InputError(f"the estimator {reference} cannot be made ({type(error).__name__}: {error}).") from error
    if not isinstance(made, AttributeEstimator):
        raise InputError(
            f"{reference} gives {type(made).__name__}, which is no AttributeEstimator; derive it from that class."
        )
    return made
