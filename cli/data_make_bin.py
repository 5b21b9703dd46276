"""`vec2face data make-bin`: a list of pairs and their images as one verification set."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath

_PATH = LocalPath()


@click.command("make-bin")
@click.argument("pairs", type=_PATH)
@click.option("--images", type=_PATH, required=True, help="Folder, face set or face pack that holds the images.")
@click.option("--out", type=_PATH, required=True, help="The .bin file to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def make_bin(pairs: Path, images: Path, out: Path, overwrite: bool) -> None:
    """Store PAIRS (LFW's pairs.txt, or lines "FIRST SECOND 0|1") and their aligned faces in insightface's .bin format.

    The images' bytes are taken over as they are; a face pack's pixels are stored as PNG.

    \b
    Example:
      vec2face data make-bin pairs.txt --images aligned --out mine.bin
    """
    from vec2face.errors import InputError
    from vec2face.evaluation.bin_files import write_bin
    from vec2face.evaluation.labelled_faces import fetch_images
    from vec2face.evaluation.pair_lists import read_pair_list
    from vec2face.fileio.outputs import require_new
    from vec2face_cli.progress import TerminalProgress

    if out.suffix != ".bin":
        raise InputError(f"verification sets are .bin files; name the output so, not {out.name}.")
    require_new(out, overwrite=overwrite)
    listed = read_pair_list(pairs)
    names = [name for pair in listed.pairs for name in (pair.first, pair.second)]
    with TerminalProgress() as progress:
        found = fetch_images(images, names, where=str(pairs), progress=progress)
    write_bin(out, listed.pairs, found)
    genuine = sum(pair.same for pair in listed.pairs)
    click.echo(f"{len(listed.pairs):,} pairs ({genuine:,} of one person) of {len(found):,} images in {out}")
