"""`vec2face data make-pairs`: draw a validation set from labelled faces."""

from pathlib import Path
from typing import Literal

import click

from vec2face_cli.locations import LocalPath

_PATH = LocalPath()


@click.command("make-pairs")
@click.argument("faces", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="The list of pairs to write (.txt).")
@click.option("--folds", type=click.IntRange(min=2), default=10, show_default=True, help="No person is in two.")
@click.option("--pairs", type=click.IntRange(min=1), default=300, show_default=True, help="Of each kind in a fold.")
@click.option("--people", type=_PATH, help="Draw only from the people that this file names, one a line.")
@click.option(
    "--part", type=click.Choice(["all", "held-out", "training"]), help="Of a face pack; by default those held out."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every draw.")
@click.option("--overwrite", is_flag=True, help="Replace an existing list.")
def make_pairs(
    *,
    faces: Path,
    out: Path,
    folds: int,
    pairs: int,
    people: Path | None,
    part: Literal["all", "held-out", "training"] | None,
    seed: int,
    overwrite: bool,
) -> None:
    """Draw pairs of one person and of two from FACES, in folds of which no two share a person.

    FACES is a face pack, an image folder with a folder for each person, tar files, a dataset, RecordIO or LMDB. Equal
    faces, options and seed give an equal list. Draw from people that took no part in training, and keep published test
    sets for the end: whatever is chosen on a set is no longer measured by it.

    \b
    Example:
      vec2face data make-pairs FACES --out pairs.txt --folds 10 --pairs 300
    """
    from vec2face.errors import InputError
    from vec2face.evaluation.labelled_faces import read_people
    from vec2face.evaluation.pair_drawing import draw_pairs
    from vec2face.evaluation.pair_lists import write_pair_list
    from vec2face.fileio.outputs import require_new
    from vec2face_cli.progress import TerminalProgress

    if out.suffix != ".txt":
        raise InputError(f"lists of pairs are .txt files; name the output so, not {out.name}.")
    require_new(out, overwrite=overwrite)
    names = None
    if people is not None:
        try:
            names = [line.strip() for line in people.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {people}: {error}.") from None
    with TerminalProgress() as progress:
        found = read_people(faces, part=part, progress=progress)
    if names is not None:
        found = found.only(names, where=str(people))
    drawn = draw_pairs(found.images, folds=folds, pairs=pairs, seed=seed)
    write_pair_list(out, drawn)
    hint = f" (measure it with --folds {folds})" if folds != 10 else ""
    click.echo(f"{len(drawn):,} pairs of {len(found.images):,} people in {folds} folds: {out}{hint}")
