"""`vec2face evaluate identification`: closed-set identification in a gallery."""

from pathlib import Path
from typing import Literal

import click

from vec2face.fileio.location import Location
from vec2face_cli.evaluation_output import measurement_options, prepare_output, print_pixels, write_output
from vec2face_cli.locations import LOCATION


@click.command()
@click.argument("subject")
@click.option("--probes", type=LOCATION, help="Faces to look for: a folder for each person, or another face set.")
@click.option("--gallery", type=LOCATION, help="Faces to look among; everybody in the probes is there.")
@click.option("--distractors", type=LOCATION, help="Strangers among them; people are not asked for.")
@click.option(
    "--people-from",
    type=click.Choice(["folders", "file-names"]),
    default="folders",
    show_default=True,
    help="Who is in a picture: its folder, or its file's name before the first underscore (TinyFace).",
)
@measurement_options
def identification(
    *,
    subject: str,
    probes: Location | None,
    gallery: Location | None,
    distractors: Location | None,
    people_from: Literal["folders", "file-names"],
    checkpoint_format: str | None,
    batch_size: int,
    device: str,
    out: Path | None,
    overwrite: bool,
    json_file: Path | None,
) -> None:
    """Look for probes in a gallery with SUBJECT, a network, and state how often the right person comes first.

    Images must be aligned, square faces. SUBJECT may also be a .safetensors file of embeddings: arrays probes, gallery,
    probes_people, gallery_people (whole numbers) and perhaps distractors; then no images are given.

    \b
    Example:
      vec2face evaluate identification embedded --probes Probe --gallery Gallery_Match \\
        --distractors Gallery_Distractor --people-from file-names
    """
    from vec2face.cards.benchmark import evaluation_document
    from vec2face.errors import InputError
    from vec2face.evaluation.identification_run import open_part, run_identification
    from vec2face.evaluation.subjects import NetworkSubject, open_subject
    from vec2face_cli.progress import TerminalProgress

    prepare_output(out, json_file, overwrite=overwrite)
    measured = open_subject(subject, checkpoint_format=checkpoint_format, device=device)
    sources = {"probes": probes, "gallery": gallery, "distractors": distractors}
    network = isinstance(measured, NetworkSubject)
    if network and (probes is None or gallery is None):
        raise InputError("a network needs images: give --probes and --gallery.")
    if not network and any(sources.values()):
        raise InputError(f"{subject} brings its own embeddings; leave --probes, --gallery and --distractors out.")
    with TerminalProgress() as progress:
        parts = [
            open_part(part, source, people_from=people_from, progress=progress)
            for part, source in sources.items()
            if source is not None
        ]
        facts = run_identification(measured, parts, batch_size=batch_size, figures=out, progress=progress)
    write_output(facts, evaluation_document(facts), out, json_file)
    counts = facts["counts"]
    click.echo(
        f"{counts['probes']:,} probes against {counts['gallery']:,} gallery images and {counts['distractors']:,} "
        "distractors"
    )
    for rank, rate in facts["rank_rates"].items():
        click.echo(f"rank {rank:>3}  {100 * rate:.2f} %")
    print_pixels(facts["subject"])
