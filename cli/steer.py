"""`vec2face steer`: images of given people that measure what is asked of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vec2face.config.steering import DEFAULT_DIRECTION_PICTURES, SteeringOptions
from vec2face.fileio.location import Location
from vec2face_cli.locations import LOCATION, LocalPath

if TYPE_CHECKING:
    from vec2face.identities import IdentityBank
    from vec2face.models.embedders.base import FaceEmbedder
    from vec2face.models.generator.generator import Vec2FaceGenerator
    from vec2face.progress import ProgressReporter
    from vec2face.steering.directions import Directions
    from vec2face.steering.estimators import AttributeEstimator
    from vec2face.steering.samples import SteeredSample
    from vec2face.steering.targets import Target

FILE = LocalPath()
COUNT = click.IntRange(min=1)
PICTURES = click.IntRange(min=0)
DEFAULTS = SteeringOptions()
_SHEET_ROWS = 24
_SHORTCUTS = ("yaw", "pitch", "roll", "quality", "age", "brightness", "contrast", "sharpness")


def _shortcuts(command: click.decorators.FC) -> click.decorators.FC:
    for name in reversed(_SHORTCUTS):
        command = click.option(f"--{name}", metavar="TARGET", help=f"The same as --target {name}=TARGET.")(command)
    return command


@click.command()
@click.option("--bank", type=LOCATION, help="People: a saved bank (.safetensors) or plain vectors (.npy).")
@click.option("--from-images", "photos", type=LOCATION, multiple=True, help="People: photographs of them; repeatable.")
@click.option("--detector", type=LOCATION, help="YuNet or SCRFD (.onnx) for --from-images; without one they are crops.")
@click.option("--weights", default="embedded", show_default=True, metavar="REF", help="Generator.")
@click.option("--embedder", metavar="REF", help="Embedder that watches identity, where the generator's is not known.")
@click.option("--target", "targets", multiple=True, metavar="NAME=TARGET", help="Ask this of an attribute; repeatable.")
@_shortcuts
@click.option("--estimator", "estimators", multiple=True, metavar="REF", help="Weights, folder or module:attribute.")
@click.option("--directions", type=FILE, help="Jump first along these, of `attributes directions`.")
@click.option(
    "--direction-pictures",
    "pictures",
    type=PICTURES,
    default=DEFAULT_DIRECTION_PICTURES,
    show_default=True,
    help="Without --directions, estimate them from so many pictures of nobody first; 0: no jumps.",
)
@click.option("--out", type=FILE, required=True, help="Folder for pictures, table and sheet: new or empty.")
@click.option("--identities", "count", type=COUNT, help="How many of the people, the first ones; all by default.")
@click.option("--images-per-identity", "images", type=COUNT, default=1, show_default=True, help="Of each person.")
@click.option(
    "--identity-floor",
    type=click.FloatRange(-1, 1),
    default=DEFAULTS.identity_floor,
    show_default=True,
    help="Cosine to the person's vector that is kept.",
)
@click.option(
    "--max-evaluations", type=COUNT, default=DEFAULTS.max_evaluations, show_default=True, help="Most passes a sample."
)
@click.option(
    "--move",
    type=click.Choice(["both", "vector", "appearance"]),
    default="both",
    show_default=True,
    help="What may move.",
)
@click.option("--format", "image_format", type=click.Choice(["png", "jpeg", "webp"]), default="png", show_default=True)
@click.option("--jpeg-quality", type=click.IntRange(1, 100), help="For --format jpeg.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of masks and appearance codes.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def steer(
    *,
    bank: Location | None,
    photos: tuple[Location, ...],
    detector: Location | None,
    weights: str,
    embedder: str | None,
    targets: tuple[str, ...],
    estimators: tuple[str, ...],
    directions: Path | None,
    pictures: int,
    out: Path,
    count: int | None,
    images: int,
    identity_floor: float,
    max_evaluations: int,
    move: str,
    image_format: str,
    jpeg_quality: int | None,
    seed: int,
    device: str,
    **shortcuts: str | None,
) -> None:
    """Steer images of given people until estimators measure what is asked.

    TARGET is 30 (within the attribute's tolerance), 30+-2, >=30, <=30 or 20..40, in the attribute's unit. Every sample
    ends as converged, capped (the passes ran out) or rejected (identity lost, or a value that is not finite), with its
    best picture. Every attribute can be measured without a download; --estimator sixdrepnet or magface-r100-glint360k
    takes the published network, once it is pulled.

    \b
    Examples:
      vec2face steer --bank bank.safetensors --brightness 140 --contrast ">=40" --out bright
      vec2face steer --bank bank.safetensors --yaw -30 --target "quality=>=24" --images-per-identity 4 --out turned
    """
    from vec2face.checkpoints import digest, load_generator
    from vec2face.config.base import parse
    from vec2face.config.generation import ImageFormat
    from vec2face.generation.render import require_device
    from vec2face.steering.catalogue import open_estimators
    from vec2face.steering.inputs import draw_inputs
    from vec2face.steering.optimise import Steering
    from vec2face.steering.output import SteeringFolder
    from vec2face.steering.targets import as_asked, parse_target, split_assignments
    from vec2face_cli.progress import TerminalProgress

    if pictures == 1:
        raise click.UsageError("--direction-pictures must be 2 or more, or 0 for no jumps.")
    if (bank is None) == (not photos):
        raise click.UsageError("give the people by --bank or by --from-images, one of them.")
    if detector is not None and not photos:
        raise click.UsageError("--detector belongs to --from-images.")
    asked = split_assignments([*targets, *(f"{name}={text}" for name, text in shortcuts.items() if text is not None)])
    if not asked:
        raise click.UsageError("ask for something: --target NAME=TARGET, such as --target brightness=140.")
    encoding = parse(ImageFormat, {"format": image_format, "quality": jpeg_quality}, where="the image format")
    require_device(device)
    measures = open_estimators(asked, references=estimators)
    wanted = [parse_target(asked[one.facts.name], one.facts) for one in measures]
    written = [f"{one.facts.name} {as_asked(asked[one.facts.name], one.facts)}" for one in measures]
    generator = load_generator(weights)
    people, watcher = _people(bank, photos, detector, embedder, count, generator)
    folder = SteeringFolder(out, ids=people.ids, images=images, encoding=encoding)
    options = SteeringOptions(
        max_evaluations=max_evaluations,
        steer_vector=move != "appearance",
        steer_code=move != "vector",
        identity_floor=identity_floor,
    )
    make = partial(
        Steering,
        generator=generator,
        estimators=measures,
        identity=watcher,
        options=options,
        encoding=encoding,
        device=device,
    )
    sha256 = digest(weights, kind="generator")
    make()  # whatever does not fit together is told of before any work
    inputs = draw_inputs(people.vectors, images=images, seed=seed, generator=generator)
    done: list[SteeredSample] = []
    with TerminalProgress() as progress:
        found = _directions(
            directions, pictures, generator, measures, sha256=sha256, seed=seed, device=device, progress=progress
        )
        warm_start = None if found is None else found.warm_start(tuple(asked), generator=sha256, options=options)
        one = make(warm_start=warm_start)
        progress.begin("steering", total=len(inputs), unit="images")
        try:
            for sample in one.run(inputs, [wanted] * len(inputs)):
                folder.write_picture(sample)
                done.append(sample)
                progress.advance(1)
        finally:
            # What is done when the command is stopped is told of, too.
            if done:
                folder.write_table(done, wanted)
    done.sort(key=lambda sample: sample.index)
    _write_sheet(out / "before-after.png", done, wanted[0].attribute, title=", ".join(written))
    _report(out, done, dict(zip(written, wanted, strict=True)), drawn=0 if directions else pictures)


def _people(
    bank: Location | None,
    photos: tuple[Location, ...],
    detector: Location | None,
    embedder: str | None,
    count: int | None,
    generator: "Vec2FaceGenerator",
) -> tuple["IdentityBank", "FaceEmbedder"]:
    """Return who is steered, and the embedder that watches that they stay who they are."""
    import torch

    from vec2face.config.generation import Photos
    from vec2face.errors import InputError
    from vec2face.generation.reference import bank_from_photos, embedder_of_space
    from vec2face.identities import IdentityBank

    config = generator.config
    reference, watcher = embedder_of_space(embedder, config.feature_space)
    if bank is not None:
        found = IdentityBank.load(bank)
    else:
        settings = Photos(paths=photos, detector=detector, embedder=reference)
        found = bank_from_photos(settings, feature_space=config.feature_space, threads=torch.get_num_threads())
    found.require_width("the generator", config.feature_dim)
    if count is not None and count > len(found):
        raise InputError(f"{count} identities are asked for, but there are only {len(found)}; ask for fewer.")
    return (found if count is None else IdentityBank(found.vectors[:count], found.ids[:count])), watcher


def _directions(
    file: Path | None,
    pictures: int,
    generator: "Vec2FaceGenerator",
    estimators: "Sequence[AttributeEstimator]",
    *,
    sha256: str,
    seed: int,
    device: str,
    progress: "ProgressReporter",
) -> "Directions | None":
    """Return the directions of a file, or else estimated from pictures of nobody; None where there are to be none.

    People and their number have no part in the directions, or people would change each other's pictures.
    """
    from vec2face.steering.directions import Directions, estimate_directions
    from vec2face.steering.inputs import draw_direction_inputs, draw_nobody

    if file is not None:
        return Directions.load(file)
    if not pictures:
        return None
    nobody = draw_nobody(pictures, seed=seed, stage="directions", generator=generator)
    inputs = draw_direction_inputs(nobody, pictures=pictures, seed=seed, generator=generator)
    progress.begin("directions", total=len(inputs), unit="pictures")
    return estimate_directions(
        generator,
        estimators,
        inputs,
        digest=sha256,
        batch_size=DEFAULTS.batch_size,
        device=device,
        on_pictures=progress.advance,
    )


def _write_sheet(path: Path, done: "Sequence[SteeredSample]", name: str, *, title: str) -> None:
    """Draw the first samples before and after; under each the value of the attribute `name`."""
    from vec2face.evaluation.sheets import SheetRow, draw_sheet, save_sheet

    shown = done[:_SHEET_ROWS]
    per_row = 8
    rows = []
    for start in range(0, len(shown), per_row):
        part = shown[start : start + per_row]
        first = [f"{sample.before.values[name]:.4g}" for sample in part]
        last = [f"{sample.after.values[name]:.4g} {sample.status}" for sample in part]
        rows.append(SheetRow("before", [sample.before.pixels for sample in part], first))
        rows.append(SheetRow("after", [sample.after.pixels for sample in part], last))
    note = f"{name} under each picture; {len(shown)} of {len(done)} samples"
    save_sheet(draw_sheet(rows, title=title, note=note), path)


def _report(out: Path, done: "Sequence[SteeredSample]", targets: "Mapping[str, Target]", *, drawn: int) -> None:
    """Say how the samples ended; `targets` are by what was asked, `drawn` pictures were made for directions."""
    from vec2face.errors import InputError

    counts = Counter(sample.status for sample in done)
    passes = sum(sample.evaluations for sample in done)
    ends = ", ".join(f"{counts[status]} {status}" for status in ("converged", "capped", "rejected"))
    before = f", after {drawn} pictures for directions" if drawn else ""
    click.echo(f"{out}: {len(done)} images, {ends}; {passes / len(done):.1f} passes an image{before}.")
    for written, target in targets.items():
        hit = sum(target.accepts(sample.after.values[target.attribute]) for sample in done)
        click.echo(f"  {written}: {hit} of {len(done)}")
    if all(sample.status == "rejected" and sample.after.problem for sample in done):
        raise InputError(f"no sample could be measured: {done[0].reason} The pictures and the table are in {out}.")
