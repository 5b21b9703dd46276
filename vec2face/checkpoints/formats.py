"""The checkpoint formats that published weights come in: how each file is laid out, and which network it fits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vec2face.checkpoints.recognise import (
    Layout,
    arcface_torch_table,
    generator_table,
    iresnet_se_table,
    magface_table,
    of_arcface_torch,
    of_generator,
    of_iresnet_se,
    of_magface,
    of_mobilefacenet_prelu,
    of_mobilefacenet_relu6,
    of_sixdrepnet,
    of_vec2face_plus,
    table_of,
    vec2face_plus_table,
)
from vec2face.checkpoints.tables.generator import GENERATOR_PART, POSE_PART
from vec2face.checkpoints.tables.key_table import KeyTable, name_some
from vec2face.checkpoints.tables.mobilefacenet import MOBILEFACENET_PRELU, MOBILEFACENET_RELU6
from vec2face.checkpoints.tables.sixdrepnet import SIXDREPNET
from vec2face.errors import WeightsError
from vec2face.models.embedders.mobilefacenet import MobileFaceNetPReLU, MobileFaceNetReLU6
from vec2face.models.pose.sixdrepnet import SixDRepNet
from vec2face.registry import Kind


@dataclass(frozen=True)
class Format:
    """How a checkpoint file is laid out.

    Attributes:
        name: what users call it, one of `registry.FORMAT_NOTES`.
        kind: what its network does.
        recognise: from the weights by published name (and the file, for messages) to the network they fit.
        table_for: the table by which one of our networks is stored so; None if it cannot be.
        wrappers: keys of the file's dict that the weights may stand under; None for a file that is the weights. An
            export writes the first.
        prefixes: what may stand before every key. An export writes the first.
        heads: keys of a training head that may stand beside the network, by their name in the file; they are left
            out on purpose.
        parts: where a file holds several state dicts, their names; keys are then "part.key".
    """

    name: str
    kind: Kind
    recognise: Callable[[Mapping[str, Tensor], str], Layout]
    table_for: Callable[[nn.Module], KeyTable | None]
    wrappers: tuple[str | None, ...] = (None,)
    prefixes: tuple[str, ...] = ("", "module.")
    heads: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def unwrap(self, content: Mapping[str, Any], *, where: str) -> dict[str, Tensor]:
        """Return the weights in a file's content by their published names.

        Raises:
            WeightsError: the file is not laid out so.
        """
        if self.parts:
            missing = [part for part in self.parts if part not in content]
            if missing:
                raise WeightsError(
                    f"{where} holds no {' and no '.join(map(repr, missing))}, as the format {self.name} has; "
                    f"it holds {name_some([str(key) for key in content])}."
                )
            return {
                f"{part}.{key}": tensor
                for part in self.parts
                for key, tensor in self._strip(_state_dict(content[part], where), where).items()
            }
        named = [wrapper for wrapper in self.wrappers if wrapper is not None and wrapper in content]
        if not named and None not in self.wrappers:
            raise WeightsError(
                f"{where} holds no {self.wrappers[0]!r}, as the format {self.name} has; "
                f"it holds {name_some([str(key) for key in content])}."
            )
        return self._strip(_state_dict(content[named[0]] if named else content, where), where)

    def wrap(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Lay weights out as the published file does; the inverse of `unwrap`."""
        if self.parts:
            return {
                part: {
                    self.prefixes[0] + key.removeprefix(f"{part}."): tensor
                    for key, tensor in state.items()
                    if key.startswith(f"{part}.")
                }
                for part in self.parts
            }
        prefixed = {self.prefixes[0] + key: tensor for key, tensor in state.items()}
        return prefixed if self.wrappers[0] is None else {self.wrappers[0]: prefixed}

    def _strip(self, state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
        """Take away the longest known prefix that every key has, and the training head beside the network."""
        for prefix in sorted(self.prefixes, key=len, reverse=True):
            # A head's key that has the prefix is one of the network's own.
            heads = {head for head in self.heads if prefix and not head.startswith(prefix)}
            body = {key: tensor for key, tensor in state.items() if key not in heads}
            if body and all(key.startswith(prefix) for key in body):
                return {key.removeprefix(prefix): tensor for key, tensor in body.items()}
        raise WeightsError(
            f"{where}: the keys do not begin with {' or '.join(map(repr, self.prefixes))}, as the format {self.name} "
            f"has them; they are {name_some(list(state))}."
        )


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        WeightsError: there is none; the message lists those there are.
    """
    if name not in FORMATS:
        raise WeightsError(f"there is no checkpoint format {name!r}; known: {', '.join(FORMATS)}.")
    return FORMATS[name]


def _state_dict(content: Any, where: str) -> dict[str, Tensor]:
    """Return `content` if it is a non-empty dict of tensors."""
    if isinstance(content, Mapping) and content:
        strangers = [
            str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))
        ]
        if not strangers:
            return dict(content)
        raise WeightsError(f"{where} holds entries that are not weights where weights belong: {name_some(strangers)}.")
    raise WeightsError(f"{where} holds no weights.")


_ALL = (
    Format(
        name="vec2face-generator",
        kind="generator",
        recognise=of_generator,
        table_for=generator_table,
        wrappers=(GENERATOR_PART,),
    ),
    Format(
        name="vec2face-plus",
        kind="generator",
        recognise=of_vec2face_plus,
        table_for=vec2face_plus_table,
        parts=(GENERATOR_PART, POSE_PART),
    ),
    Format(
        name="arcface-torch",
        kind="embedder",
        recognise=of_arcface_torch,
        table_for=arcface_torch_table,
        wrappers=(None, "state_dict"),
    ),
    Format(
        name="magface",
        kind="embedder",
        recognise=of_magface,
        table_for=magface_table,
        wrappers=("state_dict", None),
        prefixes=("features.module.", "module.features.", "features.", "module.", ""),
        heads=("fc.weight", "module.fc.weight"),
    ),
    Format(
        name="iresnet-se",
        kind="embedder",
        recognise=of_iresnet_se,
        table_for=iresnet_se_table,
        wrappers=(None, "state_dict"),
    ),
    Format(
        name="mobilefacenet-relu6",
        kind="embedder",
        recognise=of_mobilefacenet_relu6,
        table_for=table_of(MobileFaceNetReLU6, MOBILEFACENET_RELU6),
    ),
    Format(
        name="mobilefacenet-prelu",
        kind="embedder",
        recognise=of_mobilefacenet_prelu,
        table_for=table_of(MobileFaceNetPReLU, MOBILEFACENET_PRELU),
    ),
    Format(
        name="sixdrepnet",
        kind="pose",
        recognise=of_sixdrepnet,
        table_for=table_of(SixDRepNet, SIXDREPNET),
        wrappers=(None, "model_state_dict", "state_dict"),
    ),
)

FORMATS: dict[str, Format] = {entry.name: entry for entry in _ALL}
