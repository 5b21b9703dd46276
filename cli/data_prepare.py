"""`vec2face data prepare`: make a training set of any face set."""

from pathlib import Path

import click

from vec2face.config.base import parse
from vec2face.config.preparing import PrepareOptions
from vec2face_cli.locations import LocalPath

DEFAULTS = {name: field.default for name, field in PrepareOptions.model_fields.items()}
COUNT = click.IntRange(min=1)
GREY = click.FloatRange(0, 255)
EXISTING_FILE = LocalPath(exists=True, dir_okay=False)


@click.command(short_help="Align, clean, embed and shard a face set.")
@click.argument("source")
@click.option("--out", type=LocalPath(), required=True, help="Folder to write: new, empty, or begun.")
@click.option("--detector", type=EXISTING_FILE, help="Find and align faces by this detector (.onnx: YuNet or SCRFD).")
@click.option("--landmarks", type=EXISTING_FILE, help="Align by this table: CSV of key, x1, y1, ..., x5, y5 (pixels).")
@click.option("--aligned", is_flag=True, help="The images are aligned 112x112 crops already.")
@click.option(
    "--people",
    type=click.Choice(["auto", "folders", "none"]),
    default=DEFAULTS["people"],
    show_default=True,
    help="Whether folders name people, where nothing else does.",
)
@click.option(
    "--several-faces",
    type=click.Choice(["largest", "central", "drop"]),
    help=f"Of several faces, take one or drop the image.  [default: {DEFAULTS['several_faces']}]",
)
@click.option("--min-score", type=click.FloatRange(0, 1), help="Detector confidence.  [default: the detector's own]")
@click.option(
    "--min-size",
    type=click.FloatRange(min=0),
    help=f"Side of the crop in the photo, pixels.  [default: {DEFAULTS['min_size']:g}]",
)
@click.option(
    "--max-outside",
    type=click.FloatRange(0, 1),
    help=f"Share of the crop that lies outside the photo.  [default: {DEFAULTS['max_outside']:g}]",
)
@click.option(
    "--min-sharpness",
    type=click.FloatRange(min=0),
    default=DEFAULTS["min_sharpness"],
    show_default=True,
    help="Variance of the Laplacian, grey levels squared.",
)
@click.option(
    "--min-brightness", type=GREY, default=DEFAULTS["min_brightness"], show_default=True, help="Mean grey level, 0-255."
)
@click.option(
    "--max-brightness", type=GREY, default=DEFAULTS["max_brightness"], show_default=True, help="Mean grey level, 0-255."
)
@click.option(
    "--dedupe",
    type=click.FloatRange(0, 1, min_open=True),
    default=DEFAULTS["dedupe"],
    show_default=True,
    metavar="COSINE",
    help="Near duplicates, within a person if people are known; 1 leaves out equal files only.",
)
@click.option(
    "--embedder",
    default=DEFAULTS["embedder"],
    show_default=True,
    metavar="REF",
    help="Embedder: a registry name, folder or file.",
)
@click.option(
    "--feature-batch",
    type=COUNT,
    default=DEFAULTS["feature_batch"],
    show_default=True,
    help="Images embedded together.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default=DEFAULTS["device"], show_default=True)
@click.option("--format", "image_format", type=click.Choice(["jpeg", "png"]), default="jpeg", show_default=True)
@click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality of aligned crops.  [default: 95]")
@click.option(
    "--shard-size",
    type=COUNT,
    default=DEFAULTS["shard_size"],
    show_default=True,
    help="Images of the source behind one shard, the unit of resuming.",
)
@click.option("--workers", type=COUNT, default=1, show_default=True, help="Processes that decode, detect and align.")
def prepare(
    *,
    source: str,
    out: Path,
    detector: Path | None,
    landmarks: Path | None,
    aligned: bool,
    people: str,
    several_faces: str | None,
    min_score: float | None,
    min_size: float | None,
    max_outside: float | None,
    min_sharpness: float,
    min_brightness: float,
    max_brightness: float,
    dedupe: float,
    embedder: str,
    feature_batch: int,
    device: str,
    image_format: str,
    quality: int | None,
    shard_size: int,
    workers: int,
) -> None:
    """Align, clean, embed and shard the faces of SOURCE, for training.

    SOURCE is an image folder (PERSON/IMAGE.jpg, or images side by side), WebDataset archives, a dataset of this
    toolkit, a RecordIO .rec file, or an LMDB file; what it is, is recognised. Say how faces are aligned by one of
    --detector, --landmarks and --aligned.

    Images of no use are left out, each with a reason, in dropped.csv; look at kept.jpg and dropped.jpg. A run may be
    stopped at any moment; the same command goes on where it ended, to the same bytes.

    \b
    Examples:
      vec2face data prepare photos/ --detector yunet.onnx --out PREPARED
      vec2face data prepare faces_webface_112x112/train.rec --aligned --embedder arcface-r100-glint360k --out PREPARED
      vec2face data prepare 'shards/{000000..000009}.tar' --aligned --dedupe 0.98 --workers 4 --out PREPARED
    """
    ways = {"detector": detector is not None, "landmarks": landmarks is not None, "aligned": aligned}
    if sum(ways.values()) != 1:
        raise click.UsageError("say how faces are aligned: one of --detector FILE, --landmarks FILE, --aligned.")
    alignment = next(way for way, chosen in ways.items() if chosen)
    only = {"detector": ("several_faces", "min_score"), "photo": ("min_size", "max_outside")}
    given = {
        "several_faces": several_faces,
        "min_score": min_score,
        "min_size": min_size,
        "max_outside": max_outside,
    }
    refused = [*(only["detector"] if alignment != "detector" else ()), *(only["photo"] if aligned else ())]
    for name in refused:
        if given[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} plays no part with --{alignment}.")
    options = parse(
        PrepareOptions,
        {
            "alignment": alignment,
            "people": people,
            "min_sharpness": min_sharpness,
            "min_brightness": min_brightness,
            "max_brightness": max_brightness,
            "dedupe": dedupe,
            "embedder": embedder,
            "feature_batch": feature_batch,
            "device": device,
            "format": image_format,
            "quality": quality,
            "shard_size": shard_size,
            **{name: value for name, value in given.items() if value is not None},
        },
        where="options",
    )
    # After the options, so that their mistakes are told without loading torch.
    from vec2face.data.prepare.run import prepare as prepare_faces
    from vec2face.data.readers import open_reader
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    reader = open_reader(source, people=options.people)
    with kept_when_stopped("finished shards are kept"), TerminalProgress() as progress:
        summary = prepare_faces(
            reader, options, out, detector=detector, landmarks=landmarks, workers=workers, progress=progress
        )
    passed_over, first = summary.passed_over
    if passed_over:
        click.echo(
            f"Note: {passed_over} files are no images by their name and were not read, such as {first}.", err=True
        )
    for reason, count in summary.dropped.items():
        click.echo(f"{count:>10,} dropped: {reason}")
    people_kept = "" if summary.people is None else f" of {summary.people:,} people"
    click.echo(
        f"{summary.kept:>10,} of {summary.images:,} images kept{people_kept}, in {out}; look at {out / 'kept.jpg'}."
    )
