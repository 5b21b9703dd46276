"""Steering: each sample is moved by its own gradient until its picture measures what was asked.

The published rule (AttrOP, arXiv 2409.02979) repeats until means over the batch are within limits, which may never be.
Here each sample has its own targets, its own Adam and its own end; a cap bounds its passes; a finished one makes room
for the next, so that passes are full. Where slopes are known before, samples jump along them first, which needs no
gradient. Mask and noise stay fixed. What is measured is the 8-bit picture (encoded and decoded again, if asked), so
that the picture that is delivered is the one that met the targets; gradients pass the rounding as if it were none.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

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
    SteeringRequest,
)
from vec2face.steering.targets import Target
from vec2face.steering.warm_start import WarmStart

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class _Pass:
    """One pass: a measurement of each state, and a gradient `(width,)` of its loss where the pass went back."""

    seen: list[Measurement]
    gradients: np.ndarray | None


class Steering:
    """Networks and settings, ready to steer samples.

    Args:
        generator: renders; moved to the device, set to eval mode and frozen, as every network here.
        estimators: measure the attributes; names must differ.
        identity: embeds pictures into the generator's feature space; None leaves identity unwatched.
        options: limits, steps and the batch size.
        encoding: measure pictures as they are after this encoding; None for 8-bit pixels.
        warm_start: slopes to jump along first; None goes by gradients from the beginning.
        mask_ratio_min: share of tokens dropped from the generator's encoder; None takes that of its config.
        precision: of the generator's products; everything else is float32.
        device: "cpu" or "cuda", or one GPU of several, such as "cuda:1".

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
        mask_ratio_min: float | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
    ) -> None:
        config = generator.config
        if config.pose_condition:
            raise ContractError("steering renders without landmark pictures, which this generator needs; use another.")
        self.options, self._warm_start = options, warm_start
        self._encoding = None if encoding is None else encoding.resolved()
        self._device, self._mask_ratio_min = torch.device(device), mask_ratio_min
        self._bfloat16 = precision == "bfloat16"
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
        requests = self._requests(inputs, targets)
        return self.stream(lambda: next(requests, None))

    def stream(self, take: Callable[[], SteeringRequest | None]) -> Iterator[SteeredSample]:
        """Steer samples that are handed out one by one; yield each when it ends.

        Args:
            take: gives the next sample, or None where there is none now. It is asked again after each result, so that
                a result may bring about another sample.
        """
        size = self.options.batch_size
        active: list[SampleState] = []
        while True:
            # So many that one of the two kinds of pass can always be full.
            while len(active) < 2 * size - 1 and (request := take()) is not None:
                jumps = None if self._warm_start is None else self._warm_start.jumps(request.targets)
                active.append(SampleState(request, row=self._free.start(request.code), jumps=jumps))
            if not active:
                return
            jumping = [state for state in active if state.jumps is not None]
            others = [state for state in active if state.jumps is None]
            back = len(others) > len(jumping)
            chosen = (others if back else jumping)[:size]
            done = self._pass(chosen, back=back)
            for place, (state, seen) in enumerate(zip(chosen, done.seen, strict=True)):
                best = state.consider(seen)
                worn = back and state.stale >= self.options.patience
                if seen.met or seen.problem or worn or state.evaluations == self.options.max_evaluations:
                    active.remove(state)
                    yield self._end(state, seen)
                elif done.gradients is None:
                    state.jump(seen, self._free, best=best)
                else:
                    state.advance(done.gradients[place], self._free)

    def _pass(self, states: list[SampleState], *, back: bool) -> _Pass:
        """Render and measure once. The batch is filled up with copies: sums depend on the shapes a kernel sees."""
        full = states + [states[-1]] * (self.options.batch_size - len(states))
        requests = [state.request for state in full]
        rows = self._tensor(np.stack([state.row for state in full])).requires_grad_(back)
        with torch.set_grad_enabled(back), exact_convolutions():
            image = self._render(requests, rows)
            pixels, delivered, encoded = self._deliver(image)
            terms = {name: self._term(name, requests, delivered) for name in self._objectives}
            kept = None
            if self._identity is not None:
                kept = self._identity(delivered, self._tensor(np.stack([one.reference for one in requests])))
            loss = torch.stack([term.loss for term in (*terms.values(), *([kept] if kept else []))]).sum(dim=0)
            # The sum's gradient of a row is that sample's own.
            gradients = torch.autograd.grad(loss.sum(), rows)[0] if back else None
        finite = torch.isfinite(image).flatten(1).all(dim=1)
        seen = read_measurements(pixels, terms, kept, loss, finite, gradients, encoded, len(states))
        return _Pass(seen, None if gradients is None else gradients.cpu().numpy())

    def _render(self, requests: list[SteeringRequest], rows: Tensor) -> Tensor:
        vectors, codes = self._networks_inputs(requests, rows)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            image: Tensor = self._generator(
                vectors,
                mask_noise=self._tensor(np.stack([one.mask_noise for one in requests])),
                mask_rate=self._tensor(np.array([one.mask_rate for one in requests])),
                mask_ratio_min=self._mask_ratio_min,
                appearance=codes if codes.shape[1] else None,
            ).image
        return image.float()

    def _networks_inputs(self, requests: list[SteeringRequest], rows: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self._tensor(np.stack([one.vector for one in requests]))
        codes = self._tensor(np.stack([one.code for one in requests]))
        return moved_inputs(self._free, vectors, codes, rows)

    def _deliver(self, image: Tensor) -> tuple[np.ndarray, Tensor, list[bytes] | None]:
        """Return the pixels as delivered, the same as `(B, 3, 112, 112)` with the image's gradient, and the files."""
        rounded, files = to_pixels(image.detach()).cpu().numpy(), None
        if self._encoding is not None:
            form, quality = self._encoding.format, self._encoding.quality
            files = [encode_image(pixels, format=form, quality=quality) for pixels in rounded]
            rounded = np.stack([decode_image(data, where="the picture just encoded") for data in files])
        exact = from_pixels(rounded).to(self._device)
        clipped = image.clamp(-1, 1).nan_to_num(0.0)
        return rounded, exact + (clipped - clipped.detach()), files

    def _term(self, name: str, requests: list[SteeringRequest], images: Tensor) -> Term:
        target = [next(target for target in one.targets if target.attribute == name) for one in requests]
        low, high, margin = (
            torch.tensor(values, dtype=torch.float32, device=self._device)
            for values in zip(*((one.low, one.high, one.margin) for one in target), strict=True)
        )
        return self._objectives[name](images, low=low, high=high, margin=margin)

    def _end(self, state: SampleState, last: Measurement) -> SteeredSample:
        if state.before is None or state.best is None:
            raise RuntimeError("a sample ended before its first pass")
        with torch.no_grad():
            vector, code = self._networks_inputs([state.request], self._tensor(state.best_row[None]))
        status, reason = judge(last, state, self.options)
        return SteeredSample(
            index=state.request.index,
            status=status,
            reason=reason,
            before=state.before,
            after=state.best,
            vector=vector[0].cpu().numpy(),
            code=code[0].cpu().numpy(),
            evaluations=state.evaluations,
            gradients=state.gradients,
        )

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

    def _requests(self, inputs: SteeringInputs, targets: Sequence[Sequence[Target]]) -> Iterator[SteeringRequest]:
        """Yield the samples, one by one. Raises `ContractError`, at once, where they do not fit."""
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
        return (inputs.request(index, tuple(wanted)) for index, wanted in enumerate(targets))


def exact_convolutions() -> AbstractContextManager[None]:
    """Return a context in which a GPU's convolutions choose the same kernels each time and round as float32 does."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


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
