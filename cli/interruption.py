"""Stopping a command: Ctrl-C, and the SIGTERM of a scheduler, end it alike, tidied up and with one line."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; it unwinds the stack as Ctrl-C does."""


def catch_termination() -> None:
    """Let SIGTERM raise `Terminated` in this process."""
    signal.signal(signal.SIGTERM, _terminate)


@contextmanager
def kept_when_stopped(what: str) -> Iterator[None]:
    """When the work inside is stopped, say `what` is kept, such as "finished shards are kept", and end the command."""
    try:
        yield
    except KeyboardInterrupt as error:
        end(error, what)


def end(error: BaseException | None, kept: str = "") -> NoReturn:
    """Say that the command was stopped, and exit as a shell expects it: 128 and the signal's number."""
    # A second signal while the first one is answered would end in a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopped, code = ("Terminated", 143) if isinstance(error, Terminated) else ("Interrupted", 130)
    click.echo(f"{stopped}; {kept}, and the same command goes on from there." if kept else f"{stopped}.", err=True)
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
