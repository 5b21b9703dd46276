"""Running `vec2face` inside the tests, and reading what it says of a mistake."""

from click.testing import CliRunner, Result

from vec2face.errors import Vec2FaceError
from vec2face_cli.main import cli


def run(*arguments: object) -> Result:
    """Run `vec2face ARGUMENTS...`; a user's mistake stays in `result.exception`."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def sentence(result: Result) -> str:
    """Return the message of the mistake that a command ended with."""
    if isinstance(result.exception, Vec2FaceError):
        return str(result.exception)
    assert result.exit_code == 2, result.output
    return result.stderr.strip().splitlines()[-1]


def mistake(*arguments: object) -> str:
    """Run `vec2face ARGUMENTS...` and return the message of the mistake it ends with."""
    return sentence(run(*arguments))
