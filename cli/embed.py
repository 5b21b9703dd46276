"""`vec2face embed`: store embeddings of faces, so that datasets can be compared with them without the pictures."""

from pathlib import Path
from typing import Literal

import click

from vec2face.config.audit import AuditOptions
from vec2face_cli.locations import LocalPath

FILE = LocalPath()
DEFAULTS = AuditOptions()


@click.command()
@click.argument("faces")
@click.option("--out", type=FILE, required=True, help="Folder of the embeddings.")
@click.option("--embedder", default=DEFAULTS.embedder, show_default=True, metavar="REF", help="As audits measure with.")
@click.option("--people", type=click.Choice(["auto", "folders", "none"]), default="auto", show_default=True)
@click.option(
    "--part",
    type=click.Choice(["all", "training", "held-out"]),
    default="all",
    show_default=True,
    help="Of a face pack.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default=DEFAULTS.device, show_default=True)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=DEFAULTS.batch_size,
    show_default=True,
    help="Images in one pass.",
)
def embed(
    *,
    faces: str,
    out: Path,
    embedder: str,
    people: Literal["auto", "folders", "none"],
    part: Literal["all", "training", "held-out"],
    device: Literal["cpu", "cuda"],
    batch_size: int,
) -> None:
    """Embed FACES (aligned 112x112 crops in any format, or a face pack) and their mirror images into the folder OUT.

    OUT is what `vec2face audit --against` takes: vectors, names of the images and of the people, no pictures. The
    vectors are biometric data of the people shown. A stopped run goes on where it ended.

    \b
    Example:
      vec2face embed photos.tar --out photos-embeddings
    """
    from vec2face.checkpoints import digest, load_embedder
    from vec2face.errors import InputError
    from vec2face.evaluation.embeddings import move
    from vec2face.evaluation.face_sets import open_faces
    from vec2face.evaluation.stored_faces import may_hold_faces, store_faces
    from vec2face.fileio.outputs import require_writable
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    if not may_hold_faces(out):
        raise InputError(f"{out} holds other files; choose a new or an empty folder.")
    require_writable(out, output=out)
    source = open_faces(faces, report=out, people=people, part=part)
    network = move(load_embedder(embedder), device)
    with kept_when_stopped("what was embedded so far is kept"), TerminalProgress() as progress:
        found = store_faces(
            source,
            network,
            sha256=digest(embedder, kind="embedder"),
            folder=out,
            name=source.name,
            batch_size=batch_size,
            progress=progress,
        )
    named = f" of {len(found.names):,} people" if found.names else ", nobody named"
    click.echo(f"{out}: {len(found):,} images{named}, {network.name}, width {network.dim}.")
