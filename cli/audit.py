"""`vec2face audit`: measure a dataset and write its report and card."""

import json
from pathlib import Path
from typing import Literal

import click

from vec2face.config.audit import AuditOptions
from vec2face.config.base import parse
from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION, LocalPath

FILE = LocalPath()
COUNT = click.IntRange(min=1)
DEFAULTS = AuditOptions()


@click.command(short_help="Measure a dataset: identity separation, consistency, contact sheets, card.")
@click.argument("dataset", type=LOCATION)
@click.option(
    "--embedder",
    default=DEFAULTS.embedder,
    show_default=True,
    metavar="REF",
    help="Embedder that measures: registry name, folder, ONNX file or hub id.",
)
@click.option("--second-embedder", metavar="REF", help="Another, independent one; its numbers stand beside.")
@click.option("--images-per-identity", type=COUNT, help="Measure only so many images of each identity.")
@click.option(
    "--pairs",
    type=COUNT,
    default=DEFAULTS.pairs,
    show_default=True,
    help="Most image pairs to compare; beyond, a sample.",
)
@click.option("--out", type=FILE, help="Folder for the report of faces that were made elsewhere.")
@click.option(
    "--people",
    type=click.Choice(["auto", "folders", "none"]),
    default=DEFAULTS.people,
    show_default=True,
    help="Whether folders name people, in such faces.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="REAL",
    help="Real faces that must not be shown: embeddings (vec2face embed), a face pack, or any set; repeatable.",
)
@click.option(
    "--leak-rate",
    type=float,
    default=DEFAULTS.leak_rate,
    show_default=True,
    help="Share of pairs of real strangers that reach the limit of a leak.",
)
@click.option(
    "--strangers",
    metavar="REAL",
    help="Real faces whose pairs set that limit, such as --against takes; for a reference of few people.",
)
@click.option("--drop-leaks", is_flag=True, help="Exclude identities that show real people from the dataset.")
@click.option("--reference", type=FILE, help="Real faces to measure realism by: a pack, a folder or a .npy file.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME", help="Measure this as well; repeatable.")
@click.option(
    "--estimator",
    "estimators",
    multiple=True,
    metavar="REF",
    help="Folder of a probe, or module:attribute; repeatable.",
)
@click.option(
    "--groups",
    default=DEFAULTS.groups,
    show_default=True,
    metavar="REF",
    help="Probes of groups of people: embedded, a folder (attributes fit-groups), or none.",
)
@click.option("--seed", type=int, default=DEFAULTS.seed, show_default=True, help="Seed of every sample.")
@click.option("--weights-card", type=FILE, help="The generator's card.json, where its weights are not on this machine.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default=DEFAULTS.device, show_default=True)
@click.option("--batch-size", type=COUNT, default=DEFAULTS.batch_size, show_default=True, help="Images in one pass.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def audit(
    *,
    dataset: Location,
    embedder: str,
    second_embedder: str | None,
    images_per_identity: int | None,
    pairs: int,
    out: Path | None,
    people: str,
    against: tuple[str, ...],
    leak_rate: float,
    strangers: str | None,
    drop_leaks: bool,
    reference: Path | None,
    attributes: tuple[str, ...],
    estimators: tuple[str, ...],
    groups: str,
    seed: int,
    weights_card: Path | None,
    device: Literal["cpu", "cuda"],
    batch_size: int,
    as_json: bool,
) -> None:
    """Measure DATASET, a folder or URL filled by `vec2face generate`, and write its report, card and contact sheets.

    Everything is written to DATASET/report; the measured columns of metadata.parquet are filled as well. A stopped
    audit goes on where it ended. With --out, DATASET is any set of aligned faces (image folder, WebDataset, RecordIO,
    LMDB, face pack), real or synthetic; nothing is written to it.

    \b
    Examples:
      vec2face audit faces
      vec2face audit faces --second-embedder arcface-r100-glint360k
      vec2face audit faces --images-per-identity 10 --json
      vec2face audit faces --against real-embeddings --drop-leaks
      vec2face audit lfw.tar --out lfw-report
    """
    options = parse(
        AuditOptions,
        {
            "embedder": embedder,
            "second_embedder": second_embedder,
            "images_per_identity": images_per_identity,
            "pairs": pairs,
            "out": out,
            "people": people,
            "against": against,
            "leak_rate": leak_rate,
            "strangers": strangers,
            "drop_leaks": drop_leaks,
            "reference": reference,
            "attributes": attributes,
            "estimators": estimators,
            "groups": groups,
            "seed": seed,
            "weights_card": weights_card,
            "device": device,
            "batch_size": batch_size,
        },
        where="options",
    )
    # After the options, so that their mistakes are told without loading torch.
    from vec2face.workflow import audit_dataset
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    with kept_when_stopped("the shards embedded so far are kept"), TerminalProgress() as progress:
        summary = audit_dataset(dataset, options, progress=progress)
    if as_json:
        click.echo(json.dumps(summary.facts, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        click.echo(summary.sentence)
