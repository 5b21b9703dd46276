"""The `vec2face` command: a group that loads each subcommand only when it is used, so help stays fast."""

import importlib
import sys

import click

from vec2face import __version__
from vec2face.errors import Vec2FaceError
from vec2face_cli.interruption import catch_termination, end

# name -> (module:attribute, one line for the overview). The line stands here so that the overview imports nothing.
COMMANDS = {
    "attributes": (
        "vec2face_cli.attributes:attributes",
        "Fit estimators of attributes, and directions to steer along.",
    ),
    "audit": ("vec2face_cli.audit:audit", "Measure a dataset: identity separation, consistency, contact sheets, card."),
    "bench": ("vec2face_cli.bench:bench", "Measure speed on this machine, as ratios in one run."),
    "card": ("vec2face_cli.card:card", "Write a dataset's card from its audit's facts."),
    "data": ("vec2face_cli.data:data", "Prepare face images for training."),
    "embed": ("vec2face_cli.embed:embed", "Store embeddings of faces, to compare datasets with them."),
    "evaluate": ("vec2face_cli.evaluate:evaluate", "Measure embedders, generators and sets of faces."),
    "export": ("vec2face_cli.export:export", "Write a dataset as RecordIO, LMDB, folders, parquet or WebDataset."),
    "generate": ("vec2face_cli.generate:generate", "Generate a dataset of people who do not exist."),
    "identities": ("vec2face_cli.identities:identities", "Make and inspect banks of identity vectors."),
    "import": ("vec2face_cli.import_set:import_set", "Make a dataset of a foreign face set, bytes untouched."),
    "merge": ("vec2face_cli.merge:merge", "Join datasets of different people into one."),
    "landmarks": (
        "vec2face_cli.landmarks:landmarks",
        "Draw landmark pictures for pose control, and measure head poses by landmarks.",
    ),
    "plan": ("vec2face_cli.plan:plan", "Say what a recipe takes: shards, bytes, time and cost, from measured rates."),
    "recipes": ("vec2face_cli.recipes:recipes", "List, show, copy and validate the shipped recipes."),
    "split": ("vec2face_cli.split:split", "Write a dataset as several that share no person."),
    "steer": ("vec2face_cli.steer:steer", "Steer images of given people to pose, light and other attributes."),
    "study": ("vec2face_cli.study:study", "Train recognisers on several datasets and tabulate what moves accuracy."),
    "subset": ("vec2face_cli.subset:subset", "Write a part of a dataset as a dataset of its own."),
    "train": ("vec2face_cli.train:train", "Train an embedder or a generator."),
    "verify": ("vec2face_cli.verify:verify", "Re-hash a dataset and name what is damaged."),
    "weights": ("vec2face_cli.weights:weights", "List, pull, import and export network weights."),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module when the subcommand is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="vec2face")
def cli() -> None:
    """Make, audit and document face-recognition datasets of people who do not exist."""


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence on stderr and exit code 2."""
    catch_termination()
    try:
        sys.exit(cli.main(prog_name="vec2face", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Vec2FaceError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        click.echo(f"Error: memory ran out{reason}; ask for less at a time, such as a smaller batch size.", err=True)
        sys.exit(2)
    except click.Abort as error:  # click's word for Ctrl-C
        end(error.__cause__)
    except KeyboardInterrupt as error:
        end(error)
