"""Steering: each sample is moved by its own gradient until its picture measures what was asked.

The published rule (AttrOP, arXiv 2409.02979) repeats until means over the batch are within limits, which may never be.
Here each sample has its own targets, its own Adam and its own end; a cap bounds its passes; a finished one makes room
for the next, so that every pass is full. Mask and noise stay fixed. What is measured is the 8-bit picture (encoded and
decoded again, if asked), so that the picture that is delivered is the one that met the targets; gradients pass the
rounding as if it were none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from vec2face.config.generation import ImageFormat
from vec2face.config.steering import SteeringOptions
from vec2face.contracts import require_same_width
from vec2face.errors import ConfigError, ContractError
from vec2face.fileio.images import decode_image, encode_image
from vec2face.models.embedders.base import FaceEmbedder
from vec2face.models.generator.generator import Vec2FaceGenerator
from vec2face.models.pixels import to_pixels
from vec2face.steering.estimators import AttributeEstimator
from vec2face.steering.measurements import judge, read_measurements
from vec2face.steering.objectives import AttributeObjective, IdentityObjective, Term
from vec2face.steering.samples import (
    FreeNumbers,
    Measurement,
    SampleState,
    SteeredSample,
    SteeringInputs,
)
from vec2face.steering.targets import Target
from vec2face.steering.warm_start import WarmStart


@dataclass(frozen=True)
class _Pass:
    """One pass: a measurement and a gradient `(width,)` of each state's loss."""

    seen: list[Measurement]
    gradients: np.ndarray


class Steering:
    """Networks and settings, ready to steer samples.

    Args:
        generator: renders; moved to the device, set to eval mode and frozen, as every network here.
        estimators: measure the attributes; names must differ.
        identity: embeds pictures into the generator's feature space; None leaves identity unwatched.
        options: limits, steps and the batch size.
        encoding: measure pictures as they are after this encoding; None for 8-bit pixels.
        warm_start: where to jump first; None starts from the sample itself.
        device: "cpu" or "cuda".

    Raises:
        ConfigError: nothing may move, no estimators, or two of one name.
        ContractError: the embedder's width is not the generator's, it passes no gradient, the generator needs landmark
            pictures, or the warm start was made for other free numbers.
    """

    def __init__(
        self,
        *,
        generator: Vec2FaceGenerator,
        estimators: Sequence[AttributeEstimator],
        identity: FaceEmbedder | None,
        options: SteeringOptions,
        encoding: ImageFormat | None = None,
        warm_start: WarmStart | None = None,
        device: str = "cpu",
    ) -> None:
        config = generator.config
        if config.pose_condition:
            raise ContractError("steering renders without landmark pictures, which this generator needs; use another.")
        self.options, self._warm_start = options, warm_start
        self._encoding = None if encoding is None else encoding.resolved()
        self._device = torch.device(device)
        self._objectives = {estimator.facts.name: AttributeObjective(estimator) for estimator in estimators}
        if not estimators or len(self._objectives) != len(estimators):
            raise ConfigError("steering needs at least one attribute, and one estimator for each.")
        self._free = free_numbers(generator, options)
        if warm_start is not None:
            warm_start.require_fit(self._free)
        self._generator = generator
        self._identity: IdentityObjective | None = None
        if identity is not None:
            self._watch(identity)
        networks: list[nn.Module] = [
            generator,
            *(network for estimator in estimators for network in estimator.networks),
        ]
        for network in [*networks, *([identity] if isinstance(identity, nn.Module) else [])]:
            network.eval().requires_grad_(False).to(self._device)

    def run(self, inputs: SteeringInputs, targets: Sequence[Sequence[Target]]) -> Iterator[SteeredSample]:
        """Steer samples; yield each when it ends, which is not the order of the inputs.

        A sample's result depends on itself alone, for one batch size and one kind of machine.

        Args:
            inputs: N samples.
            targets: N lists, one target for each estimator, in any order.

        Raises:
            ContractError: widths do not fit the generator, or targets do not fit the estimators.
        """
        ordered = self._check(inputs, targets)
        waiting = iter(range(len(inputs)))
        active: list[SampleState] = []
        while True:
            for index in islice(waiting, self.options.batch_size - len(active)):
                row = self._free.start(inputs.codes[index])
                active.append(SampleState(index=index, row=row, targets=ordered[index]))
            if not active:
                return
            done = self._pass(inputs, active)
            unfinished = []
            for state, seen, gradient in zip(active, done.seen, done.gradients, strict=True):
                state.consider(seen)
                if seen.met or seen.problem or state.evaluations == self.options.max_evaluations:
                    yield self._end(inputs, state, seen)
                    continue
                self._move(inputs, state, seen, gradient)
                unfinished.append(state)
            active = unfinished

    def _move(self, inputs: SteeringInputs, state: SampleState, seen: Measurement, gradient: np.ndarray) -> None:
        code = inputs.codes[state.index]
        if state.evaluations == 1 and self._warm_start is not None:
            jumped = self._free.confine(state.row + self._warm_start.move(seen.values, state.targets), code)
            if not np.array_equal(jumped, state.row):
                state.jump(jumped, gradient)
                return
        state.advance(gradient, self._free, code)

    def _pass(self, inputs: SteeringInputs, active: list[SampleState]) -> _Pass:
        """Render and measure once. The batch is filled up with copies: sums depend on the shapes a kernel sees."""
        full = active + [active[-1]] * (self.options.batch_size - len(active))
        rows = self._tensor(np.stack([state.row for state in full])).requires_grad_()
        indices = [state.index for state in full]
        vectors, codes = self._networks_inputs(inputs, indices, rows)
        backend = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.enable_grad(), backend:
            image = self._generator(
                vectors,
                mask_noise=self._tensor(inputs.mask_noise[indices]),
                mask_rate=self._tensor(inputs.mask_rate[indices]),
                appearance=codes if codes.shape[1] else None,
            ).image
            pixels, delivered = self._deliver(image)
            terms = {name: self._term(name, full, delivered) for name in self._objectives}
            kept = self._identity(delivered, self._tensor(inputs.references[indices])) if self._identity else None
            loss = torch.stack([term.loss for term in (*terms.values(), *([kept] if kept else []))]).sum(dim=0)
            # The sum's gradient of a row is that sample's own.
            (gradients,) = torch.autograd.grad(loss.sum(), rows)
        finite = torch.isfinite(image).flatten(1).all(dim=1)
        seen = read_measurements(pixels, terms, kept, loss, finite, gradients, len(active))
        return _Pass(seen, gradients.detach().cpu().numpy()[: len(active)])

    def _networks_inputs(self, inputs: SteeringInputs, indices: list[int], rows: Tensor) -> tuple[Tensor, Tensor]:
        vectors, codes = self._tensor(inputs.vectors[indices]), self._tensor(inputs.codes[indices])
        return moved_inputs(self._free, vectors, codes, rows)

    def _deliver(self, image: Tensor) -> tuple[np.ndarray, Tensor]:
        """Return the pixels as delivered, and the same as `(B, 3, 112, 112)` in [-1, 1] with the image's gradient."""
        rounded = to_pixels(image.detach()).cpu().numpy()
        if self._encoding is not None:
            rounded = np.stack([_encoded(pixels, self._encoding) for pixels in rounded])
        exact = from_pixels(rounded).to(self._device)
        clipped = image.float().clamp(-1, 1).nan_to_num(0.0)
        return rounded, exact + (clipped - clipped.detach())

    def _term(self, name: str, states: list[SampleState], images: Tensor) -> Term:
        target = [next(target for target in state.targets if target.attribute == name) for state in states]
        low, high, margin = (
            torch.tensor(values, dtype=torch.float32, device=self._device)
            for values in zip(*((one.low, one.high, one.margin) for one in target), strict=True)
        )
        return self._objectives[name](images, low=low, high=high, margin=margin)

    def _end(self, inputs: SteeringInputs, state: SampleState, last: Measurement) -> SteeredSample:
        if state.before is None or state.best is None:
            raise RuntimeError("a sample ended before its first pass")
        best, row = state.best, state.best_row
        vector, code = self._numpy_inputs(inputs, state.index, row)
        status, reason = judge(last, best, state.targets, self.options)
        return SteeredSample(state.index, status, reason, state.before, best, vector, code, state.evaluations)

    def _numpy_inputs(self, inputs: SteeringInputs, index: int, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            vector, code = self._networks_inputs(inputs, [index], self._tensor(row[None]))
        return vector[0].cpu().numpy(), code[0].cpu().numpy()

    def _tensor(self, values: np.ndarray) -> Tensor:
        # A copy: matrix products may round by their operands' alignment in memory, which is fixed for torch's own.
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def _watch(self, identity: FaceEmbedder) -> None:
        width = self._generator.config.feature_dim
        require_same_width(f"the embedder {identity.name}", identity.dim, "the generator's input", width)
        if not isinstance(identity, nn.Module):
            raise ContractError(
                f"the embedder {identity.name} is an ONNX file, which passes no gradient; import it first."
            )
        self._identity = IdentityObjective(identity.embed, floor=self.options.identity_floor)

    def _check(self, inputs: SteeringInputs, targets: Sequence[Sequence[Target]]) -> list[tuple[Target, ...]]:
        config = self._generator.config
        require_same_width("the identity vector", inputs.vectors.shape[1], "the generator's input", config.feature_dim)
        require_same_width("the appearance code", inputs.codes.shape[1], "the generator's input", config.appearance_dim)
        if len(targets) != len(inputs):
            raise ContractError(f"{len(inputs)} samples have {len(targets)} lists of targets; each needs one.")
        for wanted in targets:
            names = [target.attribute for target in wanted]
            if sorted(names) != sorted(self._objectives):
                raise ContractError(
                    f"targets of {', '.join(names) or 'nothing'} do not fit estimators of "
                    f"{', '.join(self._objectives)}."
                )
        return [tuple(wanted) for wanted in targets]


def free_numbers(generator: Vec2FaceGenerator, options: SteeringOptions) -> FreeNumbers:
    """Return what may move for a generator.

    Raises:
        ConfigError: nothing may.
    """
    config = generator.config
    free = FreeNumbers(
        feature_dim=config.feature_dim if options.steer_vector else 0,
        code_dim=config.appearance_dim if options.steer_code else 0,
        sigma_unit=config.sigma_unit,
        vector_step=options.vector_step,
        code_step=options.code_step,
        vector_limit=options.vector_limit,
        code_limit=options.code_limit,
    )
    if not free.width:
        why = "steer_code is off" if config.appearance_dim else "this generator has no appearance code"
        raise ConfigError(f"nothing may be moved: steer_vector is off, and {why}; turn one on.")
    return free


def moved_inputs(free: FreeNumbers, vectors: Tensor, codes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the `(B, D)` vectors and `(B, A)` codes that `(B, width)` rows of free numbers stand for."""
    dim = free.feature_dim
    if dim:
        moved = vectors + free.sigma_unit * rows[:, :dim]
        vectors = moved * (vectors.norm(dim=1, keepdim=True) / moved.norm(dim=1, keepdim=True))
    return vectors, rows[:, dim:].contiguous() if free.code_dim else codes


def from_pixels(pixels: np.ndarray) -> Tensor:
    """Map uint8 `(B, H, W, 3)` to float32 `(B, 3, H, W)` in [-1, 1]: pixel / 127.5 - 1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def _encoded(pixels: np.ndarray, encoding: ImageFormat) -> np.ndarray:
    data = encode_image(pixels, format=encoding.format, quality=encoding.quality)
    return decode_image(data, where="the picture just encoded")
