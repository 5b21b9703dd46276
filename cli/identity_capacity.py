"""`vec2face identities capacity`: how many identities a source admits under a ceiling."""

import json
from typing import Any

import click

from vec2face.config.generation import DEFAULT_CEILING, MAX_IDENTITIES
from vec2face_cli.identity_options import check_source_options, open_source, source_options, staged


@click.command()
@source_options
@click.option(
    "--ceiling",
    "ceilings",
    type=click.FloatRange(-1, 1, min_open=True),
    multiple=True,
    default=(DEFAULT_CEILING,),
    show_default=True,
    help="Cosine that any two identities stay below; repeatable.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the candidates.")
@click.option("--probe", type=click.IntRange(min=1000), default=20_000, show_default=True, help="Candidates to try.")
@click.option(
    "--candidates",
    "trials",
    type=click.IntRange(min=1000),
    default=150_000,
    show_default=True,
    help="Number of candidates that rejection is estimated for.",
)
@click.option(
    "--pack-up-to",
    type=click.IntRange(1, MAX_IDENTITIES),
    help="Also pack growing numbers of identities, up to this one, until one no longer fits.",
)
@click.option("--max-steps", type=click.IntRange(min=1), default=400, show_default=True, help="Of each packing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def capacity(
    ctx: click.Context,
    *,
    source: str,
    ceilings: tuple[float, ...],
    seed: int,
    probe: int,
    trials: int,
    pack_up_to: int | None,
    max_steps: int,
    as_json: bool,
    **origin: Any,
) -> None:
    """Estimate how many identities a source admits.

    By rejection: the falling acceptance of a probe is extrapolated to --candidates, with a 95 % interval. By packing:
    what was packed indeed, a lower bound.

    \b
    Examples:
      vec2face identities capacity --ceiling 0.3 --ceiling 0.4
      vec2face identities capacity --pack-up-to 4000 --json
    """
    check_source_options(ctx, source)
    if source == "file":
        raise click.UsageError("--source file holds so many vectors and no more; sample from it to see how many fit.")

    from vec2face.identities.capacity import packing_capacity, rejection_capacity
    from vec2face_cli.progress import TerminalProgress

    opened = open_source(**origin)
    results = []
    with TerminalProgress() as progress:
        for ceiling in ceilings:
            found = rejection_capacity(
                opened,
                ceiling=ceiling,
                seed=seed,
                probe=probe,
                candidates=trials,
                progress=staged(progress, f"probing {ceiling:g}", "candidates"),
            )
            packed = None
            if pack_up_to is not None:
                progress.begin(f"packing under {ceiling:g}", total=pack_up_to, unit="identities")
                reached = 0

                def report(count: int, fits: bool) -> None:
                    nonlocal reached
                    if fits:
                        progress.advance(count - reached)
                        reached = count

                packed = packing_capacity(
                    opened, ceiling=ceiling, seed=seed, largest=pack_up_to, max_steps=max_steps, progress=report
                )
            results.append({**found.to_dict(), "packed": packed})
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    for facts in results:
        low, high = facts["interval"]
        line = (
            f"under {facts['ceiling']:g}: rejection accepted {facts['accepted']:,} of {facts['probed']:,} candidates, "
            f"and about {facts['identities']:,} ({low:,} to {high:,}) of {facts['candidates']:,}"
        )
        packing = "" if facts["packed"] is None else f"; packing fits {facts['packed']:,} or more"
        click.echo(f"{line}{packing}; {facts['close_pairs']:.2g} of random pairs are that close.")
