"""What measures an attribute of a picture, so that gradients reach the pixels."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from torch import Tensor, nn

from vec2face.errors import ContractError, InputError, Vec2FaceError
from vec2face.fileio.atomic import canonical_json
from vec2face.steering.targets import AttributeFacts


class AttributeEstimator(ABC):
    """Measures one attribute; the base of the built-in estimators and of users' own.

    Attributes:
        facts: name, unit, validated range, tolerance and held-out error.
        networks: the networks it runs, which are moved to the device, set to eval mode and frozen before use.
        misjudged: of a probability, on faces held out: the share of those of the group that it puts below one half, and
            of the others that it puts from there on; None where that is not known.
    """

    facts: AttributeFacts
    networks: tuple[nn.Module, ...] = ()
    misjudged: tuple[float, float] | None = None

    @abstractmethod
    def estimate(self, images: Tensor) -> Tensor:
        """Map `(B, 3, 112, 112)` RGB images in [-1, 1] to `(B,)` values in the unit.

        It must be differentiable, and a value may depend on its own image alone.
        """


class SharedNetwork:
    """A function of images that several estimators use, computed once for the same batch.

    Args:
        function: maps `(B, 3, 112, 112)` images to any tensor.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._images: Tensor | None = None
        self._result: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the function's value; for the very tensor of the last call, the value of that call."""
        if self._result is None or self._images is not images:
            self._images, self._result = images, self._function(images)
        return self._result


def measure(estimator: AttributeEstimator, images: Tensor) -> Tensor:
    """Return an estimator's `(B,)` values.

    Raises:
        InputError: the estimator raises; its first line is told, and the exception is the cause.
        ContractError: the values are no tensor `(B,)`, or pass no gradient where the images ask for one.
    """
    name = estimator.facts.name
    try:
        values = estimator.estimate(images)
    except Vec2FaceError:
        raise
    except (
        Exception
    ) as error:  # whatever a user's estimator raises is a fault of that class, to be told in one sentence
        said = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(" .:")
        kind = type(estimator)
        raise InputError(
            f"the estimator of {name} ({kind.__module__}:{kind.__qualname__}) failed on {len(images)} images ({said}); "
            "mend it, or leave the attribute out."
        ) from error
    if not isinstance(values, Tensor) or values.shape != images.shape[:1]:
        given = f"of shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"in a {type(values).__name__}"
        raise ContractError(
            f"the estimator of {name} gave values {given} for {len(images)} images; it must give one number an image."
        )
    if images.requires_grad and not values.requires_grad:
        raise ContractError(f"the estimator of {name} passes no gradient to the image; it cannot steer.")
    return values.float()


def digest_of(estimator: AttributeEstimator) -> str:
    """Return the SHA-256 of what decides an estimator's values, so that a plan notices another one.

    That is its class's name, its facts, the plain values, arrays and tensors it holds, and its networks' weights. The
    code of a class and what it reaches by closures are not seen.
    """
    kind = type(estimator)
    plain = {name: value for name, value in sorted(vars(estimator).items()) if isinstance(value, str | int | float)}
    arrays = {
        name: value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        for name, value in sorted(vars(estimator).items())
        if isinstance(value, Tensor | np.ndarray)
    }
    for number, network in enumerate(estimator.networks):
        state = network.state_dict()
        arrays |= {f"{number}.{name}": state[name].detach().float().cpu().numpy() for name in sorted(state)}
    named = {"class": f"{kind.__module__}.{kind.__qualname__}", "facts": asdict(estimator.facts), "values": plain}
    digest = hashlib.sha256(canonical_json(named))
    for name, values in arrays.items():
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
