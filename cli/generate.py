"""`vec2face generate`: make a dataset from a recipe, options, or both."""

from pathlib import Path
from typing import Any, Literal

import click

from vec2face.fileio.location import Location
from vec2face_cli.attribute_options import attribute_options
from vec2face_cli.locations import LOCATION, LocalPath
from vec2face_cli.placement import Placement, placement_options, rendering_place
from vec2face_cli.pose_options import pose_changes, pose_options


class SigmaShareType(click.ParamType):
    """`SIGMA:SHARE`, such as 0.3:40."""

    name = "SIGMA:SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        sigma, _, share = str(value).partition(":")
        try:
            return {"sigma": float(sigma), "share": float(share)}
        except ValueError:
            self.fail(f"{value!r} is not SIGMA:SHARE, such as 0.3:40", param, ctx)


REPAIR_ROUNDS = 5
COUNT = click.IntRange(min=1)


@click.command(short_help="Generate a dataset of people who do not exist.")
@click.argument("recipe", required=False)
@click.option(
    "--out", type=LOCATION, required=True, help="Folder or URL of the dataset: new, empty, or one to be continued."
)
@click.option("--name", help="Name of the dataset, for its card.")
@click.option("--seed", type=int, help="Seed of every draw.")
@click.option("--weights", metavar="REF", help="Generator: a registry name, a folder, or a hub id.")
@click.option("--identities", "count", type=COUNT, help="How many identities.")
@click.option("--images-per-identity", type=COUNT, help="Images of each identity.")
@click.option("--bank", type=LOCATION, help="Take identities from a saved bank (.safetensors) or plain vectors (.npy).")
@click.option("--from-images", "photos", type=LOCATION, multiple=True, help="Take identities from photos; repeatable.")
@click.option("--detector", type=LOCATION, help="YuNet or SCRFD (.onnx) for --from-images; without one they are crops.")
@click.option("--embedder", metavar="REF", help="Embedder for --from-images, where the generator's is not known.")
@click.option("--source", type=click.Choice(["pca", "gaussian", "file"]), help="Sample identities from this source.")
@click.option("--candidates", type=LOCATION, help="Vectors to choose from, for --source file.")
@click.option("--ceiling", type=float, help="Cosine that two sampled identities stay below.")
@click.option("--sigma", "mixture", type=SigmaShareType(), multiple=True, help="Variation and its share; repeatable.")
@pose_options
@attribute_options
@click.option("--format", "image_format", type=click.Choice(["jpeg", "png", "webp"]), help="Image format.")
@click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality.")
@click.option("--identities-per-shard", type=COUNT, help="Identities in one archive, the unit of resuming.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Precision of the network's arithmetic; auto: bfloat16 where the device has instructions for it.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where images are rendered.")
@click.option("--batch-size", type=COUNT, help="Images rendered together.")
@click.option("--threads-per-worker", type=COUNT, help="CPU threads of each process.")
@click.option(
    "--check",
    type=click.Choice(["content", "size"]),
    help="How finished shards are told from damaged ones when going on.  [default: content; size behind a URL]",
)
@click.option("--workers", type=COUNT, help="Processes; by default one per CPU core, or one per GPU.")
@placement_options
@click.option(
    "--audit",
    type=click.Choice(["full", "none"]),
    default="full",
    show_default=True,
    help="Measure the finished dataset and write its report and card, or leave that to `vec2face audit`.",
)
@click.option("--audit-embedder", metavar="REF", help="Embedder that the audit measures with.")
@click.option("--second-embedder", metavar="REF", help="Another, independent one for the audit.")
@click.option(
    "--against", metavar="FACES", multiple=True, help="Real faces that nobody may resemble, for the audit; repeatable."
)
@click.option("--repair", is_flag=True, help="Draw identities that fail the audit again, until none fails.")
@click.option("--repair-rounds", type=COUNT, help=f"Most rounds of --repair in all.  [default: {REPAIR_ROUNDS}]")
@click.option("--weights-card", type=LocalPath(), help="The generator's card.json, where none is beside it.")
def generate(
    *,
    recipe: str | None,
    out: Location,
    name: str | None,
    seed: int | None,
    weights: str | None,
    count: int | None,
    images_per_identity: int | None,
    bank: Location | None,
    photos: tuple[Location, ...],
    detector: Location | None,
    embedder: str | None,
    source: str | None,
    candidates: Location | None,
    ceiling: float | None,
    mixture: tuple[dict[str, float], ...],
    views: tuple[dict[str, Any], ...],
    landmarks: tuple[Path, ...],
    adapter_strength: float | None,
    steered: dict[str, Any],
    image_format: str | None,
    quality: int | None,
    identities_per_shard: int | None,
    dtype: str | None,
    device: str | None,
    batch_size: int | None,
    threads_per_worker: int | None,
    check: Literal["content", "size"] | None,
    workers: int | None,
    placement: Placement,
    audit: str,
    audit_embedder: str | None,
    second_embedder: str | None,
    against: tuple[str, ...],
    repair: bool,
    repair_rounds: int | None,
    weights_card: Path | None,
) -> None:
    """Generate a dataset of people who do not exist.

    RECIPE is a YAML file or the name of a shipped recipe; options override it. Without one, a dataset already in
    --out is continued or mended with its own recipe, and a new one is made with default values. Naming an origin of
    identities (--bank, --from-images, --source) replaces all that the recipe says of them.

    A run may be stopped at any moment; the same command goes on where it ended, to the same bytes. Workers change the
    speed, never an image.

    --repair replaces identities that fail the audit (not unique, inconsistent, leaked, ...), renders their shards again
    and audits again. What was replaced, why and when stands in dataset.json.

    \b
    Examples:
      vec2face generate demo --out demo
      vec2face generate --identities 1000 --images-per-identity 50 --out faces
      vec2face generate --bank mine.safetensors --sigma 0.3:40 --sigma 0.5:40 --sigma 0.7:20 --out faces
      vec2face generate --from-images photos/ --detector yunet.onnx --sigma 0.2:1 --out relatives
      vec2face generate --weights vec2face-plus-pose --bank mine.npy --view yaw=-60..60 --out turned
      vec2face generate --attribute "brightness=uniform[90, 150]" --attribute "yaw=uniform[-30, 30]" --out spread
      vec2face generate demo --out s3://bucket/faces      (see docs/stores.md)
      vec2face generate --out faces                       (continue or mend)
      vec2face generate faces.yaml --out /shared/faces --executor ray --address auto
      vec2face generate faces.yaml --out /shared/faces --shard-index env --shard-count 50  (a job of an array)
      vec2face generate --out faces --repair              (replace identities that fail the audit)
    """
    for option, value in (("--detector", detector), ("--embedder", embedder)):
        if value is not None and not photos:
            raise click.UsageError(f"{option} belongs to --from-images.")
    if repair and audit == "none":
        raise click.UsageError("--repair goes by the audit; leave --audit none away.")
    if repair_rounds is not None and not repair:
        raise click.UsageError("--repair-rounds belongs to --repair.")
    part, place, elsewhere = placement.part(), placement.place(workers), placement.on_ray(workers)
    from vec2face.config.audit import AuditOptions
    from vec2face.config.base import parse
    from vec2face.generation.recipe import find_recipe
    from vec2face_cli.interruption import kept_when_stopped
    from vec2face_cli.progress import TerminalProgress

    chosen = find_recipe(
        recipe,
        out,
        changes={
            "name": name,
            "seed": seed,
            "weights": weights,
            "identities": {
                "bank": bank,
                "photos": {"paths": photos or None, "detector": detector, "embedder": embedder},
                "source": source,
                "candidates": candidates,
                "count": count,
                "ceiling": ceiling,
            },
            "images_per_identity": images_per_identity,
            "variation": {"mixture": mixture or None},
            "pose": pose_changes(views, landmarks, adapter_strength),
            **steered,
            "image": {"format": image_format, "quality": quality},
            "shards": {"identities_per_shard": identities_per_shard},
            "compute": {
                "dtype": dtype,
                "device": device,
                "batch_size": batch_size,
                "threads_per_worker": threads_per_worker,
            },
        },
    )
    # After the recipe, so that its mistakes are told without loading torch.
    from vec2face.workflow import make_dataset

    measured = {"embedder": audit_embedder, "second_embedder": second_embedder, "weights_card": weights_card}
    given = {name: value for name, value in measured.items() if value is not None}
    options = parse(AuditOptions, {"device": chosen.compute.device, "against": against, **given}, where="options")
    with (
        kept_when_stopped("finished shards are kept"),
        rendering_place(place, elsewhere, chosen, out) as (leads, executor),
        TerminalProgress() as progress,
    ):
        if not leads:
            return
        summary = make_dataset(
            chosen,
            out,
            workers=workers,
            executor=executor,
            part=part,
            check=check,
            audit=audit == "full",
            audit_options=options,
            repair_rounds=(repair_rounds or REPAIR_ROUNDS) if repair else None,
            progress=progress,
        )
    click.echo(summary.sentence)
