"""One shard: render its images, write the archive, then the manifest."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from vec2face.fileio.atomic import canonical_json
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import write_tar
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.manifest import KEPT, POSE_COLUMNS, Samples, ShardManifest, write_manifest
from vec2face.generation.noise import draw_batches
from vec2face.generation.plan import Plan, sample_key
from vec2face.generation.render import Rendered, Renderer, torch_threads
from vec2face.identities.slices import BankSlices

NOT_FINITE = "rejected: the network gave NaN or infinity"


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
    absent = () if plan.pose is not None else POSE_COLUMNS
    samples: dict[str, list[Any]] = {name: [] for name in Samples.model_fields if name not in absent}

    def members() -> Iterator[tuple[str, bytes]]:
        for batch in renderer.render(draw_batches(plan, plan.shard(index), bank)):
            yield from _members(plan, bank, batch, samples)
            on_images(len(batch.draws))

    archive = folder.archive(index)
    with torch_threads(plan.recipe.compute.threads_per_worker):
        sha256 = write_tar(archive, members())
    rejects = sum(status != KEPT for status in samples["status"])
    manifest = ShardManifest(
        shard=index,
        plan=plan.shard_fingerprint(index),
        count=len(samples["key"]) - rejects,
        rejects=rejects,
        size=archive.stat().st_size,
        sha256=sha256,
        samples=Samples(**{name: tuple(column) for name, column in samples.items()}),
    )
    write_manifest(folder.manifest(index), manifest)
    return manifest


def _members(
    plan: Plan, bank: BankSlices, batch: Rendered, samples: dict[str, list[Any]]
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a batch's images and note every image, kept or not, in `samples`."""
    draws, image_format = batch.draws, plan.recipe.image
    for row in range(len(draws)):
        identity, image = int(draws.identity[row]), int(draws.image[row])
        facts: dict[str, Any] = {
            "identity": identity,
            "identity_name": bank.ids[identity],
            "image": image,
            "seed": int(draws.seed[row]),
            "sigma": float(draws.sigma[row]),
            "mask_rate": float(draws.mask_rate[row]),
        }
        if plan.pose is not None:
            shown = [None if math.isnan(angle) else angle for angle in draws.angles[row].tolist()]
            facts |= dict(zip(POSE_COLUMNS, [int(draws.view[row]), *shown], strict=True))
        key = sample_key(identity, image)
        kept = bool(batch.finite[row])
        for name, value in {"key": key, **facts, "status": KEPT if kept else NOT_FINITE}.items():
            samples[name].append(value)
        if kept:
            encoded = encode_image(batch.pixels[row], format=image_format.format, quality=image_format.quality)
            yield f"{key}.{image_format.suffix}", encoded
            yield f"{key}.cls", str(identity).encode("ascii")
            yield f"{key}.json", canonical_json(facts)
