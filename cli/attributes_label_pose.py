"""`vec2face attributes label-pose`: from landmarks to labels of head pose."""

from pathlib import Path

import click

from vec2face_cli.locations import LocalPath


@click.command("label-pose")
@click.argument("table", type=LocalPath())
@click.option("--keep", multiple=True, metavar="COLUMN", help="Column of TABLE to take over, such as age; repeatable.")
@click.option("--out", type=LocalPath(dir_okay=False), required=True, help="File to write (.csv).")
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
def label_pose(table: Path, keep: tuple[str, ...], out: Path, overwrite: bool) -> None:
    """Fit a generic head to the landmarks in TABLE, and write yaw, pitch and roll for `vec2face train estimator`.

    TABLE is a CSV file with the column key, and x and y of five landmarks: left_eye_x, left_eye_y, right_eye_x, ...,
    nose_x, ..., mouth_left_x, ..., mouth_right_x, ...; left is the picture's left.

    \b
    Example:
      vec2face attributes label-pose landmarks.csv --keep age --out labels.csv
    """
    from vec2face.data.landmarks.pose_labels import write_pose_labels
    from vec2face.fileio.outputs import require_new

    require_new(out, overwrite=overwrite)
    written = write_pose_labels(table, out, keep=keep)
    fitted = written.faces - written.misfits
    click.echo(f"{out}: angles of {fitted} faces; the landmarks of {written.misfits} fit no head.")
