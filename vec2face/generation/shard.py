"""One shard: render its images, write the archive, then the manifest."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vec2face.fileio.atomic import canonical_json
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import write_tar
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.manifest import KEPT, POSE_COLUMNS, Samples, ShardManifest, write_manifest
from vec2face.generation.noise import Draws, draw_batches
from vec2face.generation.plan import Plan, ShardPlan, sample_key
from vec2face.generation.render import Renderer, torch_threads
from vec2face.identities.slices import BankSlices

NOT_FINITE = "rejected: the network gave NaN or infinity"


@dataclass(frozen=True)
class FinishedImage:
    """An image as a shard takes it.

    Attributes:
        key: its name.
        facts: what was drawn for it.
        status: `KEPT`, or why it is left out.
        data: its file; None for one that is left out.
        steered: what steering says of it; None in a dataset without attributes.
    """

    key: str
    facts: dict[str, Any]
    status: str
    data: bytes | None
    steered: dict[str, Any] | None = None


def render_shard(
    plan: Plan,
    folder: DatasetFolder,
    index: int,
    *,
    renderer: Renderer,
    bank: BankSlices,
    on_images: Callable[[int], None],
) -> ShardManifest:
    """Render shard `index` and write its archive and, last, its manifest; both depend on the plan alone.

    Args:
        plan: the dataset's plan.
        folder: where the dataset stands.
        index: the shard.
        renderer: the generator, ready.
        bank: the dataset's identity bank.
        on_images: called after each batch with its number of images; an exception it raises stops the shard, of which
            nothing is left then.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    images = _rendered_images(plan, plan.shard(index), bank, renderer)
    return write_shard(plan, folder, index, images=images, on_images=on_images)


def write_shard(
    plan: Plan,
    folder: DatasetFolder,
    index: int,
    *,
    images: Iterable[Sequence[FinishedImage]],
    on_images: Callable[[int], None],
) -> ShardManifest:
    """Write the archive of a shard and, last, its manifest.

    Args:
        plan, folder, index, on_images: see `render_shard`.
        images: those of the shard, kept or not, in order; they are made as they are written.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    noted: list[FinishedImage] = []

    def members() -> Iterator[tuple[str, bytes]]:
        for batch in images:
            for image in batch:
                noted.append(replace(image, data=None))  # its bytes are in the archive now
                if image.data is not None:
                    yield from _members(plan, image, image.data)
            on_images(len(batch))

    archive = folder.archive(index)
    with torch_threads(plan.recipe.compute.threads_per_worker):
        sha256 = write_tar(archive, members())
    rejects = sum(image.status != KEPT for image in noted)
    rows = [{"key": image.key, **image.facts, "status": image.status} for image in noted]
    manifest = ShardManifest(
        shard=index,
        plan=plan.shard_fingerprint(index),
        count=len(noted) - rejects,
        rejects=rejects,
        size=archive.stat().st_size,
        sha256=sha256,
        samples=Samples(**_columns(rows)),
        steered=None if plan.attributes is None else _columns([image.steered or {} for image in noted]),
    )
    write_manifest(folder.manifest(index), manifest)
    return manifest


def drawn_facts(plan: Plan, bank: BankSlices, draws: Draws, row: int) -> dict[str, Any]:
    """Return what `KEY.json` says of one image's draws."""
    identity = int(draws.identity[row])
    facts: dict[str, Any] = {
        "identity": identity,
        "identity_name": bank.ids[identity],
        "image": int(draws.image[row]),
        "seed": int(draws.seed[row]),
        "sigma": float(draws.sigma[row]),
        "mask_rate": float(draws.mask_rate[row]),
    }
    if plan.pose is not None:
        shown = [None if math.isnan(angle) else angle for angle in draws.angles[row].tolist()]
        facts |= dict(zip(POSE_COLUMNS, [int(draws.view[row]), *shown], strict=True))
    return facts


def _rendered_images(
    plan: Plan, shard: ShardPlan, bank: BankSlices, renderer: Renderer
) -> Iterator[list[FinishedImage]]:
    image_format = plan.recipe.image
    for batch in renderer.render(draw_batches(plan, shard, bank)):
        finished = []
        for row in range(len(batch.draws)):
            facts = drawn_facts(plan, bank, batch.draws, row)
            data = None
            if batch.finite[row]:
                data = encode_image(batch.pixels[row], format=image_format.format, quality=image_format.quality)
            key = sample_key(facts["identity"], facts["image"])
            finished.append(FinishedImage(key, facts, NOT_FINITE if data is None else KEPT, data))
        yield finished


def _members(plan: Plan, image: FinishedImage, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a kept image."""
    yield f"{image.key}.{plan.recipe.image.suffix}", data
    yield f"{image.key}.cls", str(image.facts["identity"]).encode("ascii")
    yield f"{image.key}.json", canonical_json({**image.facts, **(image.steered or {})})


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(row[name] for row in rows) for name in rows[0]} if rows else {}
