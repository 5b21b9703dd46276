"""Which attributes there are, and from a name or a reference to an estimator.

Yaw, pitch, roll, age and quality are measured by the embedded network unless a reference names another estimator.
Packages add attributes by the entry point group `vec2face.attributes`: the entry's name is the attribute's, its value
an `AttributeEstimator` or something that gives one when it is called without arguments.
"""

import importlib
import re
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from vec2face.checkpoints.load import EMBEDDED, EMBEDDED_NAMES
from vec2face.checkpoints.store import CONFIG_NAME, network_of
from vec2face.errors import InputError
from vec2face.models.estimators.network import AttributeNetwork
from vec2face.models.pose.sixdrepnet import SixDRepNet
from vec2face.registry import ENTRIES
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.image_statistics import Brightness, Contrast, Sharpness
from vec2face.steering.linear_probe import LinearProbe
from vec2face.steering.networks import POSE_WEIGHTS, QUALITY_WEIGHTS, open_network, open_pose, open_quality
from vec2face.steering.targets import require_known

ENTRY_POINT_GROUP = "vec2face.attributes"
STATISTICS: dict[str, type[AttributeEstimator]] = {
    "brightness": Brightness,
    "contrast": Contrast,
    "sharpness": Sharpness,
}
# Known weights that measure attributes, and what opens them.
_OPENERS: dict[str, Callable[[str], list[AttributeEstimator]]] = {
    EMBEDDED_NAMES["estimator"]: open_network,
    POSE_WEIGHTS: open_pose,
    QUALITY_WEIGHTS: open_quality,
}
_MODULE = re.compile(r"(?P<module>[\w.]+):(?P<attribute>[\w.]+)")


def embedded_names() -> list[str]:
    """Return the attributes of the embedded network. Raises `WeightsError` where the package lacks it."""
    _, settings = network_of(ENTRIES[EMBEDDED_NAMES["estimator"]].path)
    return [str(one["name"]) for one in settings["attributes"]]


def open_estimators(names: Iterable[str], *, references: Iterable[str] = ()) -> list[AttributeEstimator]:
    """Return an estimator for each attribute named, in that order.

    Args:
        names: attributes; each is looked up among the references first, then the built-in and the embedded ones, then
            entry points.
        references: further estimators, see `open_reference`. What each measures is in its facts.

    Raises:
        ConfigError: a name that is not known; the message lists those that are.
        InputError: a reference that cannot be imported or is no estimator, or two of one name.
        WeightsError: the network behind a reference is not on this machine.
    """
    found: dict[str, AttributeEstimator] = {}
    for reference in references:
        for estimator in open_reference(reference):
            if estimator.facts.name in found:
                raise InputError(f"two estimators measure {estimator.facts.name!r}; name one of them.")
            found[estimator.facts.name] = estimator
    wanted = list(names)
    added, embedded = metadata.entry_points(group=ENTRY_POINT_GROUP), set(embedded_names())
    require_known(wanted, {*found, *STATISTICS, *embedded, *added.names})
    missing = [name for name in wanted if name not in found]
    if embedded & set(missing):
        found = {one.facts.name: one for one in open_network(EMBEDDED)} | found
    for name in missing:
        if name in STATISTICS:
            found[name] = STATISTICS[name]()
        elif name not in embedded:
            (entry,) = added.select(name=name)
            found[name] = _import(entry.value)
    return [found[name] for name in wanted]


def open_reference(reference: str) -> list[AttributeEstimator]:
    """Return the estimators that a reference stands for.

    Args:
        reference: known weights (`sixdrepnet`, `magface-r100-glint360k`, `embedded-estimators`), the folder of a probe
            or of a network of `vec2face train estimator`, or `module:attribute`.

    Raises:
        InputError: it is none of these, cannot be imported, or is no `AttributeEstimator` and gives none.
        WeightsError: the weights are not on this machine, or damaged; the probe's embedder cannot be loaded.
        ContractError: the probe's embedder has changed since.
    """
    if reference in _OPENERS:
        return _OPENERS[reference](reference)
    if reference in ENTRIES:
        raise InputError(f"{reference} measures no attribute; known weights that do: {', '.join(_OPENERS)}.")
    folder = Path(reference)
    if not folder.is_dir():
        return [_import(reference)]
    if not (folder / CONFIG_NAME).is_file():
        return [LinearProbe.load(folder)]
    network, _ = network_of(folder)
    if network is SixDRepNet:
        return open_pose(reference)
    if network is AttributeNetwork:
        return open_network(reference)
    raise InputError(f"{reference} holds a {network.__name__}, which measures no attribute.")


def _import(reference: str) -> AttributeEstimator:
    """Import an estimator by `module:attribute`."""
    parts = _MODULE.fullmatch(reference)
    if parts is None:
        known = ", ".join(_OPENERS)
        raise InputError(f"{reference!r} names no estimator; give module:attribute, a folder, or one of {known}.")
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
