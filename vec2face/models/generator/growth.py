"""Start a generator from a shallower one."""

import re

import torch

from vec2face.errors import ContractError
from vec2face.models.generator.generator import Vec2FaceGenerator

# Measured after training; training itself works with codes as they are read.
_MEASURED = {"appearance.mean", "appearance.factor"}
# A residual block of the plain decoder begins as the identity, and an appearance code is nearly nothing at first: a
# network with more of them begins with the smaller one's pictures.
_MAY_BE_NEW = re.compile(r"image_decoder\.stages\.\d+\.\d+\.|appearance\.|appearance_encoder\.")


@torch.no_grad()
def start_from(generator: Vec2FaceGenerator, initial: Vec2FaceGenerator) -> list[str]:
    """Copy every weight of `initial` into `generator`, which may have further decoder blocks and an appearance code.

    Returns:
        The names of the weights that `initial` lacks; they keep their values.

    Raises:
        ContractError: the two differ in anything else; the message names the first difference.
    """
    for key in ("feature_dim", "feature_space"):
        theirs, ours = initial.config[key], generator.config[key]
        if theirs != ours:
            raise ContractError(f"the generator to start from has {key} {theirs}, the one to train {ours}.")
    wanted, given = generator.state_dict(), initial.state_dict()
    given = {name: value for name, value in given.items() if name not in _MEASURED}
    new = sorted(wanted.keys() - given.keys())
    unfit = sorted(given.keys() - wanted.keys()) + [name for name in new if not _MAY_BE_NEW.match(name)]
    unfit += [name for name in given if name in wanted and wanted[name].shape != given[name].shape]
    if unfit:
        raise ContractError(
            f"the generator to start from is of another architecture (the first difference is {unfit[0]}); start from "
            "one of the same size, or leave it out."
        )
    generator.load_state_dict({**wanted, **given})
    return new
