"""From a pass's tensors to what is said of each sample, and from that to how a sample ended."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vec2face.config.steering import SteeringOptions
from vec2face.steering.objectives import Term
from vec2face.steering.samples import Measurement, SampleState, Status


def read_measurements(
    pixels: np.ndarray,
    terms: dict[str, Term],
    kept: Term | None,
    loss: Tensor,
    finite: Tensor,
    gradients: Tensor | None,
    encoded: Sequence[bytes] | None,
    count: int,
) -> list[Measurement]:
    """Return the first `count` samples of a batch of B.

    Args:
        pixels: uint8 `(B, 112, 112, 3)` as delivered.
        terms: {attribute: its term}.
        kept: the identity term; None where identity is not watched.
        loss: `(B,)` sum of the terms.
        finite: `(B,)` bool, whether the generator's pixels are.
        gradients: `(B, width)` of each sample's loss; None where none were taken.
        encoded: the pictures' files; None where they are measured as 8-bit pixels.
        count: samples that are no fill-up copies.
    """
    values = {name: term.measured.detach().cpu().numpy() for name, term in terms.items()}
    met = torch.stack([term.met for term in terms.values()]).all(dim=0).cpu().numpy()
    cosine = None if kept is None else kept.measured.detach().cpu().numpy()
    whole = finite.cpu().numpy()
    usable = np.ones_like(whole) if gradients is None else torch.isfinite(gradients).all(dim=1).cpu().numpy()
    losses = loss.detach().cpu().numpy()
    seen = []
    for index in range(count):
        measured = {name: float(column[index]) for name, column in values.items()}
        identity = math.nan if cosine is None else float(cosine[index])
        identity_met = kept is None or bool(kept.met[index])
        problems = [
            f"the estimator of {name} gave {value}" for name, value in measured.items() if not math.isfinite(value)
        ]
        if not whole[index]:
            problems = ["the generator gave pixels that are not finite"]
        elif cosine is not None and not math.isfinite(identity):
            problems.append("the embedder gave an embedding that is not finite")
        elif not usable[index] and not problems:
            problems = ["the gradient is not finite"]
        accepted = bool(met[index]) and identity_met and whole[index]
        # A picture that meets everything needs no gradient any more.
        problem = "" if accepted else "; ".join(problems)
        file = None if encoded is None else encoded[index]
        seen.append(
            Measurement(pixels[index], measured, identity, float(losses[index]), identity_met, accepted, problem, file)
        )
    return seen


def judge(last: Measurement, state: SampleState, options: SteeringOptions) -> tuple[Status, str]:
    """Return status and reason of a sample by its last pass and its best one; see `SteeredSample`."""
    best = state.best
    if last.problem or best is None:
        return "rejected", f"{last.problem}."
    if best.met:
        return "converged", ""
    if not best.identity_met:
        return "rejected", f"identity {best.identity:.3f} is below its floor, {options.identity_floor:g}."
    missed = [
        f"{one.attribute} is {best.values[one.attribute]:.4g}, not {one}"
        for one in state.request.targets
        if not one.accepts(best.values[one.attribute])
    ]
    return "capped", f"after {state.evaluations} passes {' and '.join(missed)}."
