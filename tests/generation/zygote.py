"""Runs that start at once and can be killed: forked from a process that has imported everything and computed nothing.

Importing takes seconds, a tiny run much less; most kills would hit the imports otherwise.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vec2face.config.generation import GenerateRecipe

SCRIPT = """
import os
import sys
import traceback

from vec2face.config.generation import GenerateRecipe
from vec2face.errors import Vec2FaceError
from vec2face.fileio.location import parse_location
from vec2face.generation.inputs import prepare
from vec2face.generation.run import generate

if "s3fs" in sys.argv:
    import s3fs

recipe = GenerateRecipe.model_validate_json(sys.stdin.readline())
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            out = parse_location(line.strip())
            plan, bank = prepare(recipe, out)
            generate(plan, out, bank=bank, workers=1)
            code = 0
        except Vec2FaceError as error:
            print(f"Error: {error}", file=sys.stderr, flush=True)
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Zygote:
    """The process that is forked."""

    process: "subprocess.Popen[str]"

    def run(self, out: str, *, kill_after: float | None = None) -> tuple[bool, float]:
        """Start a run, and kill it after so many seconds; return whether it ended by itself, and after how long."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(out, file=self.process.stdin, flush=True)
        pid = int(self.process.stdout.readline())
        started = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            # Not reaped before its line is read, so the number is still its own; killing an ended process does nothing.
            os.kill(pid, signal.SIGKILL)
        code = int(self.process.stdout.readline())
        assert code in (0, -signal.SIGKILL), "the run failed; its message stands in the captured output"
        return code == 0, time.monotonic() - started


@contextmanager
def zygote(recipe: GenerateRecipe, *, store: bool = False) -> Iterator[Zygote]:
    """Start the process. `store`: whether the runs write to an S3 store."""
    command = [sys.executable, "-c", SCRIPT, *(["s3fs"] if store else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    print(recipe.model_dump_json(), file=process.stdin, flush=True)
    with process:
        yield Zygote(process)
        process.stdin.close()


@dataclass(frozen=True)
class Moments:
    """When to kill a run, so that the work lasts as long as the kills do.

    Attributes:
        start: seconds a run takes before it renders.
        shard: seconds a shard takes.
    """

    start: float
    shard: float

    def draw(self, randomness: random.Random, *, shards_left: int, kills_left: int) -> float:
        """Any moment from the start to twice the shards that each of the kills left may cost."""
        return randomness.uniform(0, self.start + 2 * self.shard * shards_left / (kills_left + 1))
