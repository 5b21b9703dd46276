"""How much memory a generation holds while its dataset grows (Linux).

    python benchmarks/memory.py --out faces -- generate laptop-10k --out faces --audit none
    python benchmarks/memory.py --out faces --samples memory.csv -- generate --out faces

Runs `vec2face` with everything behind `--`, and looks twice a second at what the process and all it started hold
together: resident memory (shared pages once for each process) and proportional memory (shared pages once in all).
Prints a JSON line: the peaks until a tenth of the shards (`--early`) was finished, those while the rest was rendered,
those afterwards (table, audit), and the ratio of the second to the first: 1 where memory does not grow with the set.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

SECONDS_BETWEEN = 0.5
_KIB = {"rss": "Rss:", "pss": "Pss:"}


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the start, shards finished, whether the table was there, KiB held."""

    seconds: float
    shards: int
    table: bool
    rss: int
    pss: int


def descendants(pid: int) -> Iterator[int]:
    """Give a process and all it started that are alive."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = {int(child) for thread in threads for child in (thread / "children").read_text().split()}
    except OSError:  # it ended meanwhile
        return
    for child in children:
        yield from descendants(child)


def held(pid: int) -> dict[str, int]:
    """Return KiB held by a process and its descendants."""
    totals = dict.fromkeys(_KIB, 0)
    for member in descendants(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for name, label in _KIB.items():
            totals[name] += sum(int(line.split()[1]) for line in lines if line.startswith(label))
    return totals


def watch(process: "subprocess.Popen[bytes]", dataset: Path) -> Iterator[Sample]:
    """Look at a running process until it ends."""
    started = time.monotonic()
    while process.poll() is None:
        finished = len(list((dataset / "shards").glob("*.json")))
        table = (dataset / "metadata.parquet").exists()
        yield Sample(time.monotonic() - started, finished, table, **held(process.pid))
        time.sleep(SECONDS_BETWEEN)


def summarise(samples: Sequence[Sample], early: float) -> dict[str, object]:
    """Return the peaks, in MiB, while the first shards, the other shards, and the rest of the work were done."""
    most = max(sample.shards for sample in samples)
    until = math.ceil(most * early)
    parts = {
        "first_shards": [sample for sample in samples if sample.shards < until and not sample.table],
        "other_shards": [sample for sample in samples if sample.shards >= until and not sample.table],
        "afterwards": [sample for sample in samples if sample.table],
    }
    peaks = {
        part: {name: round(max(getattr(sample, name) for sample in some) / 1024, 1) for name in _KIB}
        for part, some in parts.items()
        if some
    }
    facts: dict[str, object] = {"shards": most, "first": until, "peak_mib": peaks}
    if "first_shards" in peaks and "other_shards" in peaks:
        facts["growth"] = {name: round(peaks["other_shards"][name] / peaks["first_shards"][name], 3) for name in _KIB}
    return facts


@click.command(context_settings={"max_content_width": 110})
@click.option("--out", "dataset", type=click.Path(path_type=Path), required=True, help="The dataset that is made.")
@click.option("--early", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True, help="Share.")
@click.option("--samples", type=click.Path(path_type=Path), help="Also write every look to this CSV file.")
@click.argument("command", nargs=-1, required=True)
def main(dataset: Path, early: float, samples: Path | None, command: tuple[str, ...]) -> None:
    """Run `vec2face COMMAND...` and print what it held in memory."""
    if (dataset / "metadata.parquet").exists():
        raise click.UsageError(f"{dataset} is finished already; there is nothing to look at.")
    process = subprocess.Popen([sys.executable, "-c", "from vec2face_cli.main import main; main()", *command])
    seen = list(watch(process, dataset))
    if process.returncode:
        sys.exit(process.returncode)
    if samples is not None:
        rows = [f"{one.seconds:.1f},{one.shards},{one.rss},{one.pss}" for one in seen]
        samples.write_text("\n".join(["seconds,shards,rss_kib,pss_kib", *rows]) + "\n")
    print(json.dumps(summarise(seen, early)))


if __name__ == "__main__":
    main()
