"""`vec2face attributes`: fit estimators of attributes, and find directions along which a generator changes them."""

from pathlib import Path
from typing import Literal

import click

from vec2face_cli.attributes_fit_groups import fit_groups
from vec2face_cli.attributes_label_pose import label_pose
from vec2face_cli.locations import LocalPath

FILE = LocalPath()
COUNT = click.IntRange(min=1)


@click.group()
def attributes() -> None:
    """Fit estimators of attributes and probes of groups, and find directions to steer along."""


attributes.add_command(label_pose)
attributes.add_command(fit_groups)


@attributes.command()
@click.argument("labels", type=FILE)
@click.option(
    "--images", type=FILE, help="Folder of aligned 112x112 crops; a key is a path in it, a folder one person."
)
@click.option("--data", "pack", type=FILE, help="Face pack; a key is a name in it.")
@click.option("--name", required=True, help="What the attribute is called.")
@click.option("--unit", required=True, help="Of the values, such as years.")
@click.option(
    "--kind", type=click.Choice(["regression", "logistic"]), default="regression", show_default=True, help="Of probe."
)
@click.option(
    "--on", type=click.Choice(["embedding", "maps"]), default="embedding", show_default=True, help="Features."
)
@click.option("--embedder", default="embedded", show_default=True, metavar="REF", help="Whose features.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Held out in turn.")
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), help="Of targets; by default the error.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the folds, where people are not known.")
@click.option("--batch-size", type=COUNT, default=64, show_default=True, help="Images in one pass.")
@click.option("--out", type=FILE, required=True, help="Folder of the probe: new or empty.")
def fit(
    *,
    labels: Path,
    images: Path | None,
    pack: Path | None,
    name: str,
    unit: str,
    kind: Literal["regression", "logistic"],
    on: Literal["embedding", "maps"],
    embedder: str,
    folds: int,
    tolerance: float | None,
    seed: int,
    batch_size: int,
    out: Path,
) -> None:
    """Fit a linear probe on faces labelled in LABELS, a CSV file with the columns key and value.

    Folds keep people apart where people are known. The range that targets may have is that of the labels, from the 1st
    to the 99th percentile; a logistic probe takes labels of 0 and 1 and gives a probability.

    \b
    Example:
      vec2face attributes fit ages.csv --images crops/ --name age --unit years --on maps --out age-probe
    """
    from vec2face.probing import ProbeRequest, make_probe
    from vec2face_cli.progress import TerminalProgress

    if (images is None) == (pack is None):
        raise click.UsageError("give the faces by --images or by --data, one of them.")
    request = ProbeRequest(
        labels=labels,
        images=images,
        pack=pack,
        name=name,
        unit=unit,
        kind=kind,
        features=on,
        embedder=embedder,
        folds=folds,
        tolerance=tolerance,
        seed=seed,
        batch_size=batch_size,
    )
    with TerminalProgress() as progress:
        found, faces = make_probe(request, out, progress=progress)
    wrong = ""
    if found.missed is not None and found.mistaken is not None:
        wrong = f", ones missed {found.missed:.1%}, zeros mistaken {found.mistaken:.1%}"
    score = "R squared" if kind == "regression" else "area under the ROC curve"
    apart = "people kept apart" if found.people_apart else "people not known"
    click.echo(
        f"{out}: {name}, held-out error {found.error:.4g} {unit} (without features {found.baseline:.4g}), "
        f"{score} {found.score:.3f}{wrong}; {faces} faces, {folds} folds, {apart}."
    )


@attributes.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--bank", type=FILE, required=True, help="Many people: a saved bank or plain vectors.")
@click.option("--weights", default="embedded", show_default=True, metavar="REF", help="Generator.")
@click.option("--estimator", "estimators", multiple=True, metavar="REF", help="Weights, folder or module:attribute.")
@click.option("--pictures", type=click.IntRange(min=2), default=256, show_default=True, help="One of each person.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of masks and appearance codes.")
@click.option("--batch-size", type=COUNT, default=16, show_default=True, help="Pictures in one pass.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--out", type=LocalPath(dir_okay=False), required=True, help="File (.safetensors).")
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
def directions(
    *,
    names: tuple[str, ...],
    bank: Path,
    weights: str,
    estimators: tuple[str, ...],
    pictures: int,
    seed: int,
    batch_size: int,
    device: str,
    out: Path,
    overwrite: bool,
) -> None:
    """Find the directions along which a generator changes the attributes NAMES, for `vec2face steer --directions`.

    \b
    Example:
      vec2face attributes directions brightness contrast --bank bank.safetensors --out directions.safetensors
    """
    from vec2face.checkpoints import digest, load_generator
    from vec2face.errors import InputError
    from vec2face.fileio.outputs import require_new
    from vec2face.generation.render import require_device
    from vec2face.identities import IdentityBank
    from vec2face.steering.catalogue import open_estimators
    from vec2face.steering.directions import estimate_directions
    from vec2face.steering.inputs import draw_inputs
    from vec2face_cli.progress import TerminalProgress

    require_new(out, overwrite=overwrite)
    require_device(device)
    measures = open_estimators(dict.fromkeys(names), references=estimators)
    generator = load_generator(weights)
    people = IdentityBank.load(bank)
    people.require_width("the generator", generator.config.feature_dim)
    if len(people) < pictures:
        raise InputError(f"{pictures} pictures need as many people, but {bank} holds {len(people)}; lower --pictures.")
    inputs = draw_inputs(people.vectors[:pictures], images=1, seed=seed, generator=generator)
    with TerminalProgress() as progress:
        progress.begin("directions", total=pictures, unit="pictures")
        found = estimate_directions(
            generator,
            measures,
            inputs,
            digest=digest(weights, kind="generator"),
            batch_size=batch_size,
            device=device,
            on_pictures=progress.advance,
        )
    found.save(out)
    for name, share in found.explained.items():
        click.echo(f"{name}: the direction explains {share:.0%} of its variance among {pictures} pictures")
