"""The means that a journal line reports: losses, gradient norm and times of the steps since the line before."""

import math
from typing import Any, Self


class Window:
    """Sums over the steps since the last journal line; a checkpoint keeps them, so that no line lacks a step."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = 0.0
        self.waited = 0.0
        self._sums: dict[str, list[float]] = {}
        self._norms: list[float] = []

    def add(self, losses: dict[str, float], norm: float, seconds: float, waited: float) -> None:
        """Count a step: its losses, its gradient's norm, its duration and how much of that was waiting for data."""
        self.steps += 1
        self.seconds += seconds
        self.waited += waited
        self._norms.append(norm)
        for name, value in losses.items():
            self._sums.setdefault(name, []).append(value)

    def losses(self) -> dict[str, float]:
        """Return each loss's mean over the steps that had it (some begin late)."""
        return {name: math.fsum(values) / len(values) for name, values in self._sums.items()}

    def gradient(self) -> dict[str, float]:
        """Return the mean gradient norm before clipping, and how many steps were skipped, if float16 overflowed."""
        finite = [norm for norm in self._norms if math.isfinite(norm)]
        figures = {"gradient_norm": math.fsum(finite) / len(finite)} if finite else {}
        skipped = len(self._norms) - len(finite)
        return figures | ({"skipped_steps": float(skipped)} if skipped else {})

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "steps": self.steps,
            "seconds": self.seconds,
            "waited": self.waited,
            "losses": self._sums,
            "norms": self._norms,
        }

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> Self:
        """Rebuild a window from its `state`, or begin one."""
        window = cls()
        if state is not None:
            window.steps, window.seconds, window.waited = state["steps"], state["seconds"], state["waited"]
            window._sums, window._norms = dict(state["losses"]), list(state["norms"])
        return window
