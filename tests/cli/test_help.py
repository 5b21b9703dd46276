"""The command line's help is quick because it imports nothing heavy: that is what is tested here, not a stopwatch."""

import subprocess
import sys

import pytest

from vec2face import __version__
from vec2face_cli.main import COMMANDS

HEAVY = ("torch", "diffusers", "accelerate", "onnxruntime", "cv2", "insightface", "sklearn", "scipy", "matplotlib")

# Runs the command line in a fresh interpreter and reports which heavy packages its help has imported.
PROBE = f"""
import sys
from vec2face_cli.main import cli
try:
    cli.main(args=sys.argv[1:], prog_name="vec2face")
finally:
    print("imported:", *[name for name in {HEAVY!r} if name in sys.modules])
"""


def probe(*arguments: str) -> list[str]:
    finished = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def subcommands(name: str) -> list[tuple[str, ...]]:
    """Return every command path at and under `name`."""
    import click

    from vec2face_cli.main import cli

    found: list[tuple[str, ...]] = []

    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        found.append(path)
        if isinstance(command, click.Group):
            for child, nested in command.commands.items():
                walk(nested, (*path, child))

    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    walk(command, (name,))
    return found


def test_the_overview_lists_every_command_and_imports_nothing_heavy() -> None:
    *lines, imported = probe("--help")
    assert imported == "imported:"
    listed = {line.split()[0] for line in lines if line.startswith("  ") and line.split()}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_every_command_imports_nothing_heavy(name: str) -> None:
    for path in subcommands(name):
        *lines, imported = probe(*path, "--help")
        assert imported == "imported:", f"vec2face {' '.join(path)} --help imports {imported}"
        assert lines[0].startswith(f"Usage: vec2face {' '.join(path)}")


def test_version() -> None:
    assert probe("--version")[0] == f"vec2face, version {__version__}"


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = f"import sys, vec2face; print([name for name in {HEAVY!r} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_a_users_mistake_ends_with_one_sentence_and_exit_code_2() -> None:
    command = [sys.executable, "-c", "from vec2face_cli.main import main; main()", "recipes", "show", "nothing"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.startswith("Error: no shipped recipe is called 'nothing'")
    assert "Traceback" not in finished.stderr
