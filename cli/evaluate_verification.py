"""`vec2face evaluate verification`: accuracy on pairs of faces."""

from pathlib import Path

import click

from vec2face.fileio.location import Location
from vec2face_cli.evaluation_output import measurement_options, prepare_output, print_pixels, write_output
from vec2face_cli.locations import LOCATION


@click.command()
@click.argument("subject")
@click.argument("sets", metavar="SET...", nargs=-1, required=True)
@click.option("--images", type=LOCATION, help="Folder of the images that pair lists name; by default the list's own.")
@click.option(
    "--folds", type=click.IntRange(min=2), help="Consecutive folds of a set; by default the list's own, or 10."
)
@click.option("--resamples", type=click.IntRange(min=100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@measurement_options
def verification(
    *,
    subject: str,
    sets: tuple[str, ...],
    images: Location | None,
    folds: int | None,
    checkpoint_format: str | None,
    resamples: int,
    seed: int,
    batch_size: int,
    device: str,
    out: Path | None,
    overwrite: bool,
    json_file: Path | None,
) -> None:
    """Measure SUBJECT on verification SETs, by insightface's protocol: ten-fold accuracy, VAL, TAR, EER, AUC.

    SUBJECT is a registry name, a network's folder, an ONNX file or a hub id; a bare checkpoint (with --format); or
    embeddings (.npy for one set, .safetensors with an array for each), in the order of the set's images.

    A SET is insightface's .bin (no code in it is run), a pair list (.txt), a folder with pairs.txt and images, or
    images as .npy with issame.txt. NAME=SET names it; GROUP/NAME=SET makes it one group of a benchmark such as RFW,
    whose mean, deviation and skewed error ratio are stated as well.

    \b
    Examples:
      vec2face evaluate verification embedded lfw.bin cfp_fp.bin agedb_30.bin --out results
      vec2face evaluate verification model.pt lfw.bin --format arcface-torch
      vec2face evaluate verification embedded RFW/African=african.bin RFW/Asian=asian.bin
    """
    from vec2face.cards.benchmark import evaluation_document
    from vec2face.evaluation.benchmark import run_verification
    from vec2face.evaluation.subjects import open_subject
    from vec2face.evaluation.verification_sets import open_verification_sets
    from vec2face_cli.progress import TerminalProgress

    prepare_output(out, json_file, overwrite=overwrite)
    found = open_verification_sets(sets, images=images, folds=folds)
    measured = open_subject(subject, checkpoint_format=checkpoint_format, device=device)
    with TerminalProgress() as progress:
        facts = run_verification(
            measured,
            found,
            batch_size=batch_size,
            resamples=resamples,
            seed=seed,
            figures=out,
            progress=progress,
        )
    write_output(facts, evaluation_document(facts), out, json_file)
    for entry in facts["sets"]:
        _print_set(entry, subject=facts["subject"]["name"])
    for group in facts["groups"]:
        _print_group(group)
    if "Avg" in facts["benchmarks"]:
        click.echo(f"average of the five: {facts['benchmarks']['Avg']:.2f} %")
    print_pixels(facts["subject"])


def _print_set(entry: dict, *, subject: str) -> None:
    accuracy, val, bounds = entry["accuracy"], entry["val"], entry["intervals"]
    name = entry["name"] if entry["group"] is None else f"{entry['group']}/{entry['name']}"
    click.echo(f"{subject} on {name}: {entry['pairs']:,} pairs, {entry['genuine']:,} of one person")
    click.echo(
        f"accuracy    {100 * accuracy['mean']:.2f} +- {100 * accuracy['std']:.2f} %  ({entry['folds']} folds; "
        f"95 %: {100 * bounds['accuracy'][0]:.2f} to {100 * bounds['accuracy'][1]:.2f})"
    )
    click.echo(
        f"VAL         {100 * val['mean']:.2f} +- {100 * val['std']:.2f} %  at FAR {val['target_far']:g} "
        f"(met: {val['far']:.2g}){_folds_left_out(entry)}"
    )
    for far, tar in entry["tar_at_far"].items():
        text = "too few pairs of different people to tell" if tar is None else f"{100 * tar:.2f} %"
        click.echo(f"TAR         {text}  at FAR {far}")
    click.echo(f"EER         {100 * entry['eer']:.2f} %")
    click.echo(f"AUC         {entry['auc']:.5f}")


def _folds_left_out(entry: dict) -> str:
    """Say over how many folds VAL and its FAR are, where not all folds hold pairs of both kinds."""
    val, folds = entry["val"], entry["folds"]
    if val["folds"] == folds == val["far_folds"]:
        return ""
    return f"; VAL of {val['folds']}, FAR of {val['far_folds']} of {folds} folds, the others hold no such pairs"


def _print_group(group: dict) -> None:
    ratio, common = group["skewed_error_ratio"], group["common"]
    click.echo(
        f"{group['benchmark']}: mean {100 * group['mean']:.2f} %, std {100 * group['std']:.2f}, skewed error ratio "
        f"{'not defined' if ratio is None else f'{ratio:.2f}'}"
    )
    for name, accuracy in group["accuracies"].items():
        text = f"{name}: accuracy {100 * accuracy:.2f} %"
        if common is not None:
            text += (
                f"; at the one threshold of FMR {common['fmr']:g}: FMR {100 * common['false_matches'][name]:.2f} %, "
                f"FNMR {100 * common['false_non_matches'][name]:.2f} %"
            )
        click.echo(f"  {text}")
