"""`vec2face identities sample`: identities that keep apart, by packing or by rejection."""

from pathlib import Path
from typing import Any, Literal

import click

from vec2face.config.generation import DEFAULT_CEILING, MAX_IDENTITIES, default_method
from vec2face_cli.identity_options import NEW_FILE, OVERWRITE, check_source_options, open_source, source_options


@click.command()
@source_options
@click.option("--count", type=click.IntRange(1, MAX_IDENTITIES), required=True, help="How many identities.")
@click.option(
    "--method",
    type=click.Choice(["pack", "reject"]),
    help="Move candidates apart, or leave out those too close [default: pack for pca, reject for gaussian and file]",
)
@click.option(
    "--ceiling",
    type=click.FloatRange(-1, 1, min_open=True),
    help=f"Cosine that any two identities stay below.  [default: {DEFAULT_CEILING}]",
)
@click.option(
    "--false-match-rate",
    "rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Instead of --ceiling: the cosine that the embedder states for this rate on real faces, such as 1e-4.",
)
@click.option("--embedder", metavar="REF", help="Embedder of --false-match-rate.  [default: embedded]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the candidates (pca, gaussian).")
@click.option(
    "--max-candidates",
    type=click.IntRange(min=1),
    help="reject: give up after so many candidates [default: 100,000 and 50 per identity]",
)
@click.option("--out", type=NEW_FILE, required=True, help="The bank to write (.safetensors).")
@OVERWRITE
@click.pass_context
def sample(
    ctx: click.Context,
    *,
    source: str,
    count: int,
    method: Literal["pack", "reject"] | None,
    ceiling: float | None,
    rate: float | None,
    embedder: str | None,
    seed: int,
    max_candidates: int | None,
    out: Path,
    overwrite: bool,
    **origin: Any,
) -> None:
    """Sample identities that keep apart.

    `reject` takes candidates in order; one is accepted if its cosine to every identity accepted before is below the
    ceiling, and a larger count begins with the smaller one's identities. `pack` takes as many candidates as are wanted
    and moves those that are too close apart, each as likely a face as it was: far more fit. Either way every pair is
    proven to be below the ceiling, and the same options give the same bank. Where too few fit, the command says how
    many did. A stopped command goes on where it was, from OUT.partial.

    \b
    Examples:
      vec2face identities sample --count 1000 --out bank.safetensors
      vec2face identities sample --count 20000 --ceiling 0.4 --seed 7 --out bank.safetensors
      vec2face identities sample --count 500 --method reject --false-match-rate 1e-3 --out bank.safetensors
      vec2face identities sample --source gaussian --width 512 --std 0.967 --count 10000 --out bank.safetensors
      vec2face identities sample --source file --file centres.npy --count 500 --out bank.safetensors
    """
    from vec2face.fileio.outputs import require_new

    check_source_options(ctx, source)
    if source == "file" and ctx.get_parameter_source("seed") == click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--source file takes the vectors in their order; --seed plays no part.")
    chosen = method or default_method(source)
    if chosen == "pack" and max_candidates is not None:
        raise click.UsageError("--max-candidates belongs to --method reject; packing takes as many as are wanted.")
    if ceiling is not None and rate is not None:
        raise click.UsageError("--ceiling and --false-match-rate exclude each other; give one.")
    if embedder is not None and rate is None:
        raise click.UsageError("--embedder belongs to --false-match-rate.")
    require_new(out, overwrite=overwrite)

    from vec2face.fileio.partial import PartialWork
    from vec2face.identities import draw_apart
    from vec2face_cli.progress import TerminalProgress

    if rate is not None:
        from vec2face.identities.ceilings import ceiling_for_rate

        ceiling = ceiling_for_rate(embedder or "embedded", rate)
    opened = open_source(**origin)
    partial = PartialWork(out)
    with TerminalProgress() as progress:
        bank = draw_apart(
            opened,
            method=chosen,
            count=count,
            ceiling=DEFAULT_CEILING if ceiling is None else ceiling,
            seed=seed,
            max_candidates=max_candidates,
            partial=partial,
            progress=progress,
        )
    bank.save(out)
    partial.remove()
    facts = bank.provenance
    if chosen == "pack":
        how = f"packed in {facts['steps']} steps; mean cosine to where they were drawn {facts['kept']:.3f}."
    else:
        how = f"{facts['candidates']} candidates were tried."
    click.echo(f"{len(bank)} identities of width {bank.width} in {out}; {how}")
