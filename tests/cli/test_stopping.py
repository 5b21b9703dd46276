"""However a command is stopped, it ends with one line and the exit code that shells expect."""

import os
import signal

import click
import pytest

from vec2face_cli import main as main_module
from vec2face_cli.interruption import kept_when_stopped

pytestmark = pytest.mark.usefixtures("ctrl_c")


def stop(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, *, kept: str | None) -> int:
    """Run a command that is sent a signal; return the exit code."""

    @click.command()
    def command() -> None:
        if kept is None:
            os.kill(os.getpid(), number)
            return
        with kept_when_stopped(kept):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(main_module, "cli", command)
    monkeypatch.setattr("sys.argv", ["vec2face"])
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    return int(str(ended.value.code))


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")]
)
@pytest.mark.parametrize("kept", [None, "finished shards are kept"])
def test_a_stopped_command_says_so(
    number: signal.Signals,
    code: int,
    word: str,
    kept: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert stop(monkeypatch, number, kept=kept) == code
    expected = f"{word}; {kept}, and the same command goes on from there." if kept else f"{word}."
    assert capfd.readouterr().err.strip() == expected


def test_memory_that_runs_out_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        raise MemoryError("Unable to allocate 47 TiB")

    monkeypatch.setattr(main_module, "cli", command)
    monkeypatch.setattr("sys.argv", ["vec2face"])
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 2
    assert capfd.readouterr().err.startswith("Error: memory ran out (Unable to allocate 47 TiB); ask for less")
