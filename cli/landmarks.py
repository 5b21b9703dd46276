"""`vec2face landmarks`: pictures of landmarks for pose control, and head poses measured by landmarks."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vec2face_cli.locations import LocalPath

if TYPE_CHECKING:
    import numpy as np

FILE = LocalPath()
NEW_FILE = LocalPath(dir_okay=False)
ANGLE = click.FloatRange(-90, 90)
COLOUR = click.Tuple([click.IntRange(0, 255)] * 3)


@click.group()
def landmarks() -> None:
    """Draw landmark pictures for pose control, and measure head poses by landmarks."""


@landmarks.command()
@click.option("--yaw", type=ANGLE, help="Degrees; > 0: the nose points to the picture's left.")
@click.option("--pitch", type=ANGLE, help="Degrees; > 0: the nose points up.")
@click.option("--roll", type=ANGLE, help="Degrees; > 0: clockwise in the picture.")
@click.option("--points", type=FILE, help="Five landmarks of any picture: .csv with x,y or .json [[x, y], ...].")
@click.option("--photo", type=FILE, help="A photograph; needs --detector.")
@click.option("--detector", type=FILE, help="YuNet or SCRFD (.onnx), for --photo.")
@click.option("--radius", type=click.FloatRange(0, 20, min_open=True), help="Of a dot, in pixels.")
@click.option("--colour", type=COLOUR, metavar="R G B", help="Of the dots.")
@click.option("--background", type=COLOUR, metavar="R G B")
@click.option("--out", type=NEW_FILE, required=True, help="The picture (.png).")
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
def draw(
    *,
    yaw: float | None,
    pitch: float | None,
    roll: float | None,
    points: Path | None,
    photo: Path | None,
    detector: Path | None,
    radius: float | None,
    colour: tuple[int, int, int] | None,
    background: tuple[int, int, int] | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Draw five landmarks as a picture of 112x112 pixels, in the frame of the aligned crop.

    They are those of a generic head at the angles given, of a file, or of the largest face in a photograph.

    \b
    Examples:
      vec2face landmarks draw --yaw -40 --out left.png
      vec2face landmarks draw --photo me.jpg --detector yunet.onnx --radius 3 --out me.png
    """
    from vec2face.config.base import parse
    from vec2face.config.pose import LandmarkStyle
    from vec2face.data.landmarks.files import read_points
    from vec2face.data.landmarks.head import HeadPose, aligned_landmarks
    from vec2face.data.landmarks.picture import draw_landmarks, to_aligned
    from vec2face.fileio.atomic import write_bytes
    from vec2face.fileio.images import encode_image
    from vec2face.fileio.outputs import require_new

    asked = {"yaw": yaw, "pitch": pitch, "roll": roll}
    angles = {name: value for name, value in asked.items() if value is not None}
    if sum((bool(angles), points is not None, photo is not None)) != 1:
        raise click.UsageError("give the landmarks by angles, by --points or by --photo, one of them.")
    if (photo is None) != (detector is None):
        raise click.UsageError("--photo and --detector belong together.")
    require_new(out, overwrite=overwrite)
    given = {"radius": radius, "colour": colour, "background": background}
    values = {name: value for name, value in given.items() if value is not None}
    style = parse(LandmarkStyle, values, where="options")
    if points is not None:
        placed = to_aligned(read_points(points))
    elif photo is not None and detector is not None:
        placed = to_aligned(_landmarks_of(photo, detector))
    else:
        placed = aligned_landmarks(HeadPose(**angles))
    write_bytes(out, encode_image(draw_landmarks(placed, style), format="png"))
    click.echo(f"{out}: {len(placed)} landmarks")


@landmarks.command()
@click.argument("pictures", type=FILE, nargs=-1)
@click.option("--data", "pack", type=LocalPath(file_okay=False), help="A face pack to measure (vec2face data pack).")
@click.option("--skip", type=FILE, help="With --data: leave out faces in this table's column key, labelled already.")
@click.option("--detector", type=FILE, required=True, help="YuNet or SCRFD (.onnx).")
@click.option("--out", type=NEW_FILE, help="Write a table (.csv), too.")
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
def measure(
    *,
    pictures: tuple[Path, ...],
    pack: Path | None,
    skip: Path | None,
    detector: Path,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Measure yaw, pitch and roll of aligned crops by the landmarks that a detector finds.

    PICTURES are files, or folders of them. What was steered is best checked so: the detector took no part in it. The
    table also holds the landmarks, x1,y1 to x5,y5 in pixels of the crop. That of a pack has the names of its faces in
    the column key: labels for `vec2face train estimator`. A stopped command goes on where it was, from OUT.partial.

    \b
    Examples:
      vec2face landmarks measure turned/images --detector yunet.onnx --out poses.csv
      vec2face landmarks measure --data PACK --skip labels.csv --detector yunet.onnx --out poses.csv
    """
    from vec2face.data.detection import open_detector
    from vec2face.data.facepack import FacePack
    from vec2face.data.landmarks.measured_table import NamedFace, measure_faces, number_found, table_text
    from vec2face.data.photos import list_photos
    from vec2face.errors import InputError
    from vec2face.fileio.atomic import sha256_file, write_text
    from vec2face.fileio.outputs import require_new
    from vec2face.fileio.partial import PartialWork
    from vec2face.training.estimator_labels import labelled_keys
    from vec2face_cli.progress import TerminalProgress

    if bool(pictures) == (pack is not None):
        raise click.UsageError("give PICTURES, or a pack with --data; one of them.")
    if skip is not None and pack is None:
        raise click.UsageError("--skip leaves out faces of a pack; name it with --data.")
    if out is not None:
        require_new(out, overwrite=overwrite)
    finder = open_detector(detector)
    faces: list[NamedFace]
    if pack is not None:
        packed, known = FacePack.load(pack), frozenset() if skip is None else labelled_keys(skip)
        rows = [(name, row) for row, name in enumerate(packed.names) if name not in known]
        faces = [(name, partial(packed.images.__getitem__, row)) for name, row in rows]
        if not faces:
            raise InputError(f"{skip} names every face of {pack}; nothing is left to measure.")
    else:
        faces = [(str(path), partial(_read, path)) for path in list_photos(pictures)]
    unfinished = None if out is None else PartialWork(out)
    with TerminalProgress() as progress:
        values = measure_faces(
            faces,
            finder,
            detector_digest=sha256_file(detector),
            partial=unfinished,
            progress=progress,
        )
    found = number_found(values)
    if not found:
        if unfinished is not None:
            unfinished.remove()  # other crops may have these names next time
        raise InputError(f"the detector found no face in any of the {len(faces)} pictures; give aligned crops.")
    text = table_text("file" if pack is None else "key", [name for name, _ in faces], values)
    if out is None or unfinished is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    unfinished.remove()
    click.echo(f"{out}: {found} of {len(faces)} faces found")


def _landmarks_of(photo: Path, detector: Path) -> "np.ndarray":
    from vec2face.data.detection import largest, open_detector
    from vec2face.errors import InputError

    faces = open_detector(detector).detect(_read(photo))
    if not faces:
        raise InputError(f"no face was found in {photo}; give a photo with a clearly visible face.")
    return largest(faces).landmarks


def _read(path: Path) -> "np.ndarray":
    from vec2face.errors import InputError
    from vec2face.fileio.images import decode_image

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    return decode_image(data, where=str(path))
