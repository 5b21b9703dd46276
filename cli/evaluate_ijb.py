"""`vec2face evaluate ijb`: the 1:1 protocol of IJB-B and IJB-C."""

from pathlib import Path

import click

from vec2face.fileio.location import Location
from vec2face_cli.evaluation_output import measurement_options, prepare_output, print_pixels, write_output
from vec2face_cli.locations import LOCATION, LocalPath


@click.command()
@click.argument("subject")
@click.argument("root", type=LOCATION)
@click.option("--benchmark", type=click.Choice(["ijbb", "ijbc"]), required=True, help="Which lists below ROOT/meta.")
@click.option(
    "--setting",
    "settings",
    type=click.Choice(["N1D1", "N1D0", "N0D1", "N0D0"]),
    multiple=True,
    default=("N1D1", "N1D0", "N0D1"),
    show_default=True,
    help="Weigh faces by embedding length (N1) and detector score (D1); repeatable.",
)
@click.option("--keep-embeddings", type=LocalPath(), help="Write the embeddings to this .npy, to measure them again.")
@measurement_options
def ijb(
    *,
    subject: str,
    root: Location,
    benchmark: str,
    settings: tuple[str, ...],
    checkpoint_format: str | None,
    batch_size: int,
    device: str,
    keep_embeddings: Path | None,
    out: Path | None,
    overwrite: bool,
    json_file: Path | None,
) -> None:
    """Compare templates of IJB-B or IJB-C below ROOT with SUBJECT, a network or stored embeddings.

    ROOT holds loose_crop and meta, as insightface distributes them. SUBJECT is what `evaluate verification` takes;
    stored embeddings are in the order of meta/..._face_tid_mid.txt.

    \b
    Example:
      vec2face evaluate ijb arcface-r100-glint360k IJBC --benchmark ijbc --device cuda --out results
    """
    from vec2face.cards.benchmark import evaluation_document
    from vec2face.errors import InputError
    from vec2face.evaluation.ijb_run import open_ijb, run_ijb
    from vec2face.evaluation.subjects import open_subject
    from vec2face.fileio.mirror import local_folder
    from vec2face.fileio.outputs import require_new
    from vec2face_cli.progress import TerminalProgress

    prepare_output(out, json_file, overwrite=overwrite)
    if keep_embeddings is not None:
        if keep_embeddings.suffix != ".npy":
            raise InputError(f"embeddings are kept in .npy files; name the file so, not {keep_embeddings.name}.")
        require_new(keep_embeddings, overwrite=overwrite)
    measured = open_subject(subject, checkpoint_format=checkpoint_format, device=device)
    with TerminalProgress() as progress:
        found = open_ijb(local_folder(root, progress=progress), benchmark)
        facts = run_ijb(
            measured,
            found,
            settings=settings,
            batch_size=batch_size,
            embeddings=keep_embeddings,
            figures=out,
            progress=progress,
        )
    write_output(facts, evaluation_document(facts), out, json_file)
    for run in facts["settings"]:
        values = ", ".join(
            f"{far}: {'too few pairs' if tar is None else f'{100 * tar:.2f} %'}"
            for far, tar in run["tar_at_far"].items()
        )
        click.echo(f"{facts['benchmark']} {run['setting']}  TAR at FAR {values}; EER {100 * run['eer']:.2f} %")
    print_pixels(facts["subject"])
