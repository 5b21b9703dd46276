"""Re-hash a dataset and name what is missing or damaged. No torch here."""

from dataclasses import dataclass, field

from vec2face.errors import DatasetError, InputError
from vec2face.fileio.atomic import sha256_file
from vec2face.fileio.location import Location
from vec2face.fileio.mirror import local_file
from vec2face.generation.bank_digest import content_digest
from vec2face.generation.folder import DatasetFolder, foreign_files, read_description
from vec2face.generation.manifest import ShardManifest, read_manifest
from vec2face.generation.metadata import metadata_problem
from vec2face.generation.repairs import ShardPlans, read_rounds
from vec2face.identities.bank import IdentityBank
from vec2face.progress import ProgressReporter, SilentProgress


@dataclass(frozen=True)
class Damage:
    """A file that is not as it was made, and what is wrong with it."""

    path: Location
    problem: str


@dataclass
class VerifyResult:
    """What a verification found.

    Attributes:
        shards, images: how many whole shards there are, and the images in them.
        damaged: the files that are not whole.
        command: what made the dataset where it was not generated, such as "import"; None where it was.
        foreign: what stands among the shards but is none of the dataset's; a loader of all archives would read it.
    """

    shards: int = 0
    images: int = 0
    damaged: list[Damage] = field(default_factory=list)
    command: str | None = None
    foreign: list[Location] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, damaged or foreign."""
        return not self.damaged and not self.foreign


def verify(dataset: Location, *, progress: ProgressReporter | None = None) -> VerifyResult:
    """Check every file of a dataset against its digest. Reads all of it; memory stays flat.

    Raises:
        DatasetError: the folder is not a dataset, or its `dataset.json` is damaged.
    """
    progress = progress or SilentProgress()
    folder = DatasetFolder(dataset)
    description = read_description(folder)
    result = VerifyResult(command=description["origin"]["command"] if "origin" in description else None)
    bank = description["identities"]["sha256"]  # null for a dataset of images that came without vectors
    if bank is not None and (problem := bank_problem(folder, bank)):
        result.damaged.append(Damage(folder.identities, problem))
    rows = 0
    plans = ShardPlans(description["determinants"], read_rounds(description))
    progress.begin("verifying", total=description["shards"], unit="shards")
    for index in range(description["shards"]):
        found = inspect_shard(folder, plans.fingerprint(index), index)
        if isinstance(found, Damage):
            result.damaged.append(found)
        else:
            result.shards += 1
            result.images += found.count
            rows += found.count + found.rejects
        progress.advance(1)
    result.foreign = foreign_files(folder, description["shards"])
    # While shards are missing the table cannot be complete, and generating them again mends it too.
    if result.shards == description["shards"] and (problem := metadata_problem(folder, rows)):
        result.damaged.append(Damage(folder.metadata, problem))
    return result


def inspect_shard(
    folder: DatasetFolder, plan_fingerprint: str, index: int, *, content: bool = True
) -> ShardManifest | Damage:
    """Return the manifest of a whole shard, or what is wrong with it: manifest, plan, size and digest are compared.

    Args:
        content: whether to read the archive for its digest; its size alone is quick, and tells what was cut short.
    """
    archive, path = folder.archive(index), folder.manifest(index)
    if not path.exists():
        return Damage(archive, "unfinished: it has no manifest" if archive.exists() else "missing")
    try:
        manifest = read_manifest(path)
    except DatasetError as error:
        return Damage(path, str(error).removeprefix(f"{path} is ").rstrip("."))
    if manifest.plan != plan_fingerprint or manifest.shard != index:
        return Damage(path, "of another plan")
    try:
        size = archive.stat().st_size
        if size != manifest.size:
            return Damage(archive, f"damaged: {size} bytes instead of {manifest.size}")
        if content and sha256_file(archive) != manifest.sha256:
            return Damage(archive, "damaged: its content changed")
    except FileNotFoundError:
        return Damage(archive, "missing")
    except OSError as error:
        return Damage(archive, f"unreadable: {error.strerror or error}")
    return manifest


def bank_problem(folder: DatasetFolder, sha256: str) -> str | None:
    """Say what is wrong with the dataset's identity bank, or None if ids and vectors are as planned."""
    if not folder.identities.exists():
        return "missing"
    try:
        found = content_digest(IdentityBank.load(local_file(folder.identities)))
    except InputError as error:
        return f"damaged: {error}".rstrip(".")
    return None if found == sha256 else "damaged: its content changed"
