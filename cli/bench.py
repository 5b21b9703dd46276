"""`vec2face bench`: speed on this machine."""

import json
import os
from typing import Literal

import click


@click.command()
@click.option("--weights", default="embedded", show_default=True, help="Generator: registry name, folder or hub id.")
@click.option("--embedder", default="embedded", show_default=True, help="Embedder: registry name, folder or ONNX file.")
@click.option(
    "--batch-size",
    "batch_sizes",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 32),
    show_default=True,
    help="Images a pass; give it several times to compare.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    help="CPU threads; give it several times to compare. Default: one for each core.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Slots of each precision.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bench(
    weights: str,
    embedder: str,
    batch_sizes: tuple[int, ...],
    threads: tuple[int, ...],
    rounds: int,
    device: Literal["cpu", "cuda"],
    as_json: bool,
) -> None:
    """Measure how fast faces are generated and embedded, float32 against bfloat16.

    The two precisions take turns in one run, so that the ratio holds on a busy machine too.

    \b
    Examples:
      vec2face bench
      vec2face bench --threads 1 --threads 2 --batch-size 8 --json
    """
    from rich.console import Console
    from rich.table import Table

    from vec2face.benchmarking import benchmark, machine_facts
    from vec2face_cli.progress import TerminalProgress

    with TerminalProgress() as progress:
        speeds = benchmark(
            generator=weights,
            embedder=embedder,
            batch_sizes=batch_sizes,
            threads=threads or (os.cpu_count() or 1,),
            rounds=rounds,
            device=device,
            progress=progress,
        )
    if as_json:
        results = [
            {
                "network": speed.network,
                "threads": speed.threads,
                "batch_size": speed.batch_size,
                "float32_images_per_second": round(speed.float32, 2),
                "bfloat16_images_per_second": round(speed.bfloat16, 2),
                "bfloat16_over_float32": round(speed.ratio, 3),
            }
            for speed in speeds
        ]
        click.echo(json.dumps({"machine": machine_facts(device), "results": results}, indent=2))
        return
    table = Table("network", "threads", "batch", "float32 images/s", "bfloat16 images/s", "bfloat16 / float32")
    for column in table.columns[1:]:
        column.justify = "right"
    for speed in speeds:
        table.add_row(
            speed.network,
            str(speed.threads),
            str(speed.batch_size),
            f"{speed.float32:.1f}",
            f"{speed.bfloat16:.1f}",
            f"{speed.ratio:.2f}",
        )
    Console().print(table)
