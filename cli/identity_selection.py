"""`vec2face identities select`: identities that keep apart in what a generator makes of them."""

from pathlib import Path
from typing import Literal

import click

from vec2face.config.generation import DEFAULT_RATE, MAX_IDENTITIES, MOST_IMAGES_TRIED
from vec2face.fileio.location import Location
from vec2face_cli.identity_options import EXISTING_FILE, NEW_FILE, OVERWRITE


@click.command()
@click.argument("candidates", type=EXISTING_FILE)
@click.option("--count", type=click.IntRange(1, MAX_IDENTITIES), required=True, help="How many identities.")
@click.option("--recipe", metavar="RECIPE", help="Seed, weights, variation and images of the dataset to come.")
@click.option("--weights", metavar="REF", help="Generator, where the recipe's is not meant.")
@click.option("--embedder", metavar="REF", help="Who looks.  [default: the embedder of the generator's feature space]")
@click.option("--ceiling", type=click.FloatRange(-1, 1, min_open=True), help="Cosine that people's centres stay below.")
@click.option(
    "--false-match-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help=f"Instead of --ceiling: the embedder's own cosine for this rate on real faces.  [default: {DEFAULT_RATE:g}]",
)
@click.option(
    "--consistency",
    type=click.FloatRange(-1, 1, max_open=True),
    help="Cosine that a person's centre reaches to its own vector.  [default: the ceiling]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    help=f"Images tried of each identity.  [default: all that it will have, up to {MOST_IMAGES_TRIED}]",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Precision of the generator's arithmetic; auto: bfloat16 where the device has instructions for it.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where images are rendered.")
@click.option("--out", type=NEW_FILE, required=True, help="The bank to write (.safetensors).")
@OVERWRITE
def select(
    *,
    candidates: Location,
    count: int,
    recipe: str | None,
    weights: str | None,
    embedder: str | None,
    ceiling: float | None,
    false_match_rate: float | None,
    consistency: float | None,
    images: int | None,
    dtype: Literal["auto", "float32", "bfloat16"] | None,
    device: Literal["cpu", "cuda"] | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Choose identities of the bank CANDIDATES by what the generator makes of them.

    Each is rendered as the dataset will render it, and embedded. It stays if its pictures are recognised as its own
    vector and as nobody's who stayed before; otherwise another candidate takes its place. In a dataset made from the
    bank with the same recipe, everybody is then told apart at that ceiling. A stopped command goes on where it was.

    \b
    Examples:
      vec2face identities sample --count 2000 --ceiling 0.25 --out candidates.safetensors
      vec2face identities select candidates.safetensors --count 1000 --out bank.safetensors
      vec2face generate --bank bank.safetensors --out faces
    """
    from vec2face.fileio.outputs import require_new

    require_new(out, overwrite=overwrite)

    from vec2face.config.base import parse
    from vec2face.config.generation import GenerateRecipe, RenderedSelection
    from vec2face.generation.recipe import find_recipe

    wanted = parse(
        RenderedSelection,
        {
            "embedder": embedder,
            "ceiling": ceiling,
            "false_match_rate": false_match_rate,
            "consistency": consistency,
            "images": images,
        },
        where="options",
    )
    changes = {"weights": weights, "compute": {"dtype": dtype, "device": device}}
    chosen: GenerateRecipe = find_recipe(recipe, out.with_name(f"{out.name}.dataset"), changes=changes)

    from vec2face.fileio.partial import PartialWork
    from vec2face.generation.inputs import generator_facts
    from vec2face.generation.select import select_rendered
    from vec2face.identities import IdentityBank
    from vec2face_cli.progress import TerminalProgress

    bank = IdentityBank.load(candidates)
    partial = PartialWork(out)
    with TerminalProgress() as progress:
        kept = select_rendered(
            bank,
            chosen,
            generator_facts(chosen.weights),
            count=count,
            wanted=wanted,
            partial=partial,
            progress=progress,
        )
    kept.save(out)
    partial.remove()
    facts = kept.provenance["rendered"]
    click.echo(
        f"{len(kept)} identities in {out}, {facts['images']} images of each below cosine {facts['ceiling']:.4f} by "
        f"{facts['embedder']}; {facts['tried']} candidates were tried, {facts['too_close']} too close, "
        f"{facts['not_recognised']} not recognised."
    )
