"""`vec2face evaluate sheets`: the contact sheets of a generator's model card."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath


@click.command()
@click.argument("out", type=LocalPath(file_okay=False))
@click.option("--generator", "generator_ref", default="embedded", show_default=True, help="Name, folder or hub id.")
@click.option(
    "--embedder", "embedder_ref", default="embedded", show_default=True, help="Gives held-out faces' vectors."
)
@click.option("--data", "pack", type=LocalPath(file_okay=False), help="Face pack with held-out people.")
@click.option("--statistics", type=LocalPath(), help="To sample people from; default: the embedded ones.")
@click.option("--bank", "bank_file", type=LocalPath(), help="Identities to show instead of sampled ones.")
@click.option("--people", type=click.IntRange(min=1), default=32, show_default=True, help="People on the second sheet.")
@click.option("--images", type=click.IntRange(min=1), default=32, show_default=True, help="Images on the third sheet.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of people, perturbations and masks.")
def sheets(
    out: Path,
    generator_ref: str,
    embedder_ref: str,
    pack: Path | None,
    statistics: Path | None,
    bank_file: Path | None,
    people: int,
    images: int,
    seed: int,
) -> None:
    """Draw a generator's three contact sheets into the folder OUT, nothing picked.

    rebuilt.png: held-out real faces above what the generator makes of their vectors (with --data). people.png: people
    who do not exist, an image each. person.png: the first of them, many images.

    \b
    Example:
      vec2face evaluate sheets SHEETS --generator RUN/generator --data PACK
    """
    from rich.console import Console

    from vec2face.checkpoints import load_embedder, load_generator
    from vec2face.config.generation import DEFAULT_CEILING
    from vec2face.data.facepack import FacePack
    from vec2face.evaluation.reconstruction import rebuild, save_rebuilt_sheet
    from vec2face.evaluation.sheets import save_sheet
    from vec2face.evaluation.showcase import draw_showcase, require_feature_space
    from vec2face.identities import IdentityBank, sample
    from vec2face.identities.sources import PcaSource
    from vec2face.identities.statistics import EMBEDDED_STATISTICS

    if statistics is not None and bank_file is not None:
        raise click.UsageError("--statistics and --bank exclude each other: people are sampled, or given.")
    faces = FacePack.load(pack) if pack is not None else None
    network = load_generator(generator_ref)
    embedder = load_embedder(embedder_ref) if faces is not None else None
    if bank_file is not None:
        whole = IdentityBank.load(bank_file)
        bank = IdentityBank(whole.vectors[:people], whole.ids[:people], whole.provenance)
    else:
        source = PcaSource(statistics or EMBEDDED_STATISTICS)
        require_feature_space(source, network)
        bank = sample(source, count=people, ceiling=DEFAULT_CEILING, seed=seed)
    with Console(stderr=True).status("rendering faces"):
        found = draw_showcase(network, bank, images=images, seed=seed)
        save_sheet(found.people, out / "people.png")
        save_sheet(found.person, out / "person.png")
        if faces is not None and embedder is not None:
            save_rebuilt_sheet(rebuild(faces, generator=network, embedder=embedder), out / "rebuilt.png")
    drawn = "people.png, person.png" + (", rebuilt.png" if faces is not None else "")
    left_out = "" if faces is not None else "; rebuilt.png needs a face pack (--data)"
    click.echo(f"{out}: {drawn}{left_out}")
