"""How long work reports its progress; the library reports, the command line draws. No torch here."""

from typing import Protocol


class ProgressReporter(Protocol):
    """Receives the progress of one stage after another."""

    def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
        """Start a stage, which ends the one before it.

        Args:
            stage: what is being done, such as "rendering".
            total: its size.
            unit: what `total` counts, in the plural, such as "images".
            done: how much of it was there already, as after a resume.
        """

    def advance(self, amount: int, *, note: str = "") -> None:
        """Report `amount` more units of the current stage; `note` is a short remark, such as "3 of 10 shards"."""

    def note(self, text: str) -> None:
        """Tell something that belongs to no stage, in a line."""


class SilentProgress:
    """Reports nothing."""

    def begin(self, stage: str, *, total: int, unit: str, done: int = 0) -> None:
        pass

    def advance(self, amount: int, *, note: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass
