"""The known weights and files: what they are, where they come from, under which terms. No torch here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vec2face.contracts import InputContract
from vec2face.errors import WeightsError
from vec2face.home import home_folder

Kind = Literal["generator", "embedder", "estimator", "pose", "groups", "identities", "dataset"]
Tier = Literal["embedded", "published"]

# The checkpoint formats that can be imported and exported, and where such files come from; see `checkpoints.formats`.
FORMAT_NOTES = {
    "vec2face-generator": "Vec2Face generator and Vec2Face+ main model",
    "vec2face-plus": "Vec2Face+ pose model: generator with low-rank adapters, and its pose encoder",
    "arcface-torch": "insightface's arcface_torch: IResNet-18, -34, -50, -100 and mbf (told from the keys)",
    "magface": "IResNets as the authors of MagFace publish them (BGR pixels in [0, 1])",
    "iresnet-se": "IResNet with squeeze-excitation of the published Vec2Face recognition results",
    "mobilefacenet-relu6": "MobileFaceNet with ReLU6 (ImageNet mean and deviation)",
    "mobilefacenet-prelu": "MobileFaceNet with PReLU of the ArcFace family",
    "sixdrepnet": "6DRepNet, RepVGG-B1g2 in deploy form",
}

# A format that is stored as it was pulled, without conversion.
AS_IS = "as-is"


@dataclass(frozen=True)
class WeightsEntry:
    """One file, or one folder of the package, that has a name.

    Attributes:
        name: what users call it.
        kind: what it holds.
        tier: "embedded" ships with the package; "published" is pulled from its hub repository.
        purpose: what it is for.
        licence: its terms as far as its source states them.
        folder: for the embedded tier, the path inside the package.
        repository, repository_type, file: for the published tier, where it lies on the hub.
        format: how a checkpoint is laid out (one of `FORMAT_NOTES`), or "as-is".
        digest: SHA-256 of the published file; None until known, then the first pull pins it.
        contract: for networks that take images, the pixels they were trained on.
    """

    name: str
    kind: Kind
    tier: Tier
    purpose: str
    licence: str
    folder: str | None = None
    repository: str | None = None
    repository_type: Literal["model", "dataset"] = "model"
    file: str | None = None
    format: str = AS_IS
    digest: str | None = None
    contract: InputContract | None = None

    @property
    def path(self) -> Path:
        """Where it lies on this machine, if it does."""
        if self.folder is not None:
            return Path(__file__).parent / self.folder
        return cache_folder() / self.name

    @property
    def present(self) -> bool:
        """Whether it is on this machine."""
        return self.path.exists()

    @property
    def published_at(self) -> tuple[str, str]:
        """The hub repository and the file in it. Raises `WeightsError` for the embedded tier."""
        if self.repository is None or self.file is None:
            raise WeightsError(f"{self.name} ships with the package; there is nothing to pull.")
        return self.repository, self.file

    @property
    def holds_network(self) -> bool:
        """Whether it is a network's folder (a published one is converted to it by the pull)."""
        return self.kind in ("generator", "embedder", "estimator", "pose")


def cache_folder() -> Path:
    """Where pulled files live: `weights` in `home_folder()`."""
    return home_folder() / "weights"


def find_entry(name: str) -> WeightsEntry:
    """Return the entry of a name.

    Raises:
        WeightsError: there is none; the message lists those there are.
    """
    if name not in ENTRIES:
        raise WeightsError(f"there are no known weights named {name!r}; known: {', '.join(ENTRIES)}.")
    return ENTRIES[name]


_VEC2FACE = "BooBooWu/Vec2Face"
_VEC2FACE_PLUS = "BooBooWu/Vec2Face_plus"

_ARCFACE_PIXELS = InputContract()
_HEAD_PIXELS = InputContract(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), alignment="head")

_VEC2FACE_LICENCE = "not stated (code: MIT); made with recognisers from research-only data"
_PLUS_LICENCE = "not stated; made with recognisers from research-only data"
_EMBEDDED_LICENCE = "see the model card beside the weights"
_NOT_STATED = "not stated"


def _embedded(name: str, kind: Kind, folder: str, purpose: str, contract: InputContract | None = None) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        kind=kind,
        tier="embedded",
        folder=folder,
        purpose=purpose,
        licence=_EMBEDDED_LICENCE,
        contract=contract,
    )


def _recogniser(name: str, repository: str, licence: str, trained_on: str) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        kind="embedder",
        tier="published",
        repository=repository,
        file=f"fr_weights/{name}.pth",
        format="iresnet-se",
        licence=licence,
        purpose=f"recogniser trained on {trained_on}",
        contract=_ARCFACE_PIXELS,
    )


def _file(
    name: str,
    kind: Kind,
    repository: str,
    file: str,
    licence: str,
    purpose: str,
    repository_type: Literal["model", "dataset"] = "model",
) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        kind=kind,
        tier="published",
        repository=repository,
        repository_type=repository_type,
        file=file,
        licence=licence,
        purpose=purpose,
    )


_ALL = (
    _embedded("embedded-generator", "generator", "weights/generator", "small generator for CPUs, no download"),
    _embedded("embedded-embedder", "embedder", "weights/embedder", "small embedder for CPUs", _ARCFACE_PIXELS),
    _embedded(
        "embedded-estimators",
        "estimator",
        "weights/estimators",
        "yaw, pitch, roll, age and quality of a face, for CPUs",
        _ARCFACE_PIXELS,
    ),
    _embedded("embedded-groups", "groups", "weights/groups", "probes of sex, ethnicity and age groups, for audits"),
    _embedded("embedded-identities", "identities", "weights/identities", "statistics to sample identity vectors from"),
    WeightsEntry(
        name="vec2face-base",
        kind="generator",
        tier="published",
        repository=_VEC2FACE,
        file="weights/vec2face_generator.pth",
        format="vec2face-generator",
        licence=_VEC2FACE_LICENCE,
        purpose="the paper's generator; takes vectors of arcface-r100-glint360k",
    ),
    WeightsEntry(
        name="arcface-r100-glint360k",
        kind="embedder",
        tier="published",
        repository=_VEC2FACE,
        file="weights/arcface-r100-glint360k.pth",
        format="arcface-torch",
        licence=_VEC2FACE_LICENCE,
        purpose="identity: the feature space of the published generators",
        contract=_ARCFACE_PIXELS,
    ),
    WeightsEntry(
        name="magface-r100-glint360k",
        kind="embedder",
        tier="published",
        repository=_VEC2FACE,
        file="weights/magface-r100-glint360k.pth",
        format="arcface-torch",
        licence=_VEC2FACE_LICENCE,
        purpose="quality: the length of its embedding",
        contract=_ARCFACE_PIXELS,
    ),
    WeightsEntry(
        name="sixdrepnet",
        kind="pose",
        tier="published",
        repository=_VEC2FACE,
        file="weights/6DRepNet_300W_LP_AFLW2000.pth",
        format="sixdrepnet",
        licence=_NOT_STATED,
        purpose="head pose: pitch, yaw and roll",
        contract=_HEAD_PIXELS,
    ),
    _recogniser("hsface10k", _VEC2FACE, _VEC2FACE_LICENCE, "HSFace10K (10,000 identities)"),
    _recogniser("hsface20k", _VEC2FACE, _VEC2FACE_LICENCE, "HSFace20K (20,000 identities)"),
    _recogniser("hsface100k", _VEC2FACE, _VEC2FACE_LICENCE, "HSFace100K (100,000 identities)"),
    _recogniser("hsface200k", _VEC2FACE, _VEC2FACE_LICENCE, "HSFace200K (200,000 identities)"),
    _recogniser("hsface300k", _VEC2FACE, _VEC2FACE_LICENCE, "HSFace300K (300,000 identities)"),
    _file(
        "vec2face-identities",
        "identities",
        _VEC2FACE,
        "center_feature_examples.npy",
        _VEC2FACE_LICENCE,
        "identity vectors for vec2face-base",
    ),
    _file(
        "webface4m-lmdb",
        "dataset",
        _VEC2FACE,
        "lmdb_dataset/WebFace4M/WebFace4M.lmdb",
        _NOT_STATED,
        "the published generator's training images and features",
    ),
    _file(
        "webface4m-mask",
        "dataset",
        _VEC2FACE,
        "lmdb_dataset/WebFace4M/50000_ids_1022444_ims.npy",
        _NOT_STATED,
        "rows of webface4m-lmdb that the published generator was trained on",
    ),
    _file("hsface10k-lmdb", "dataset", _VEC2FACE, "HSFaces/hsface10k.lmdb", _NOT_STATED, "HSFace10K images", "dataset"),
    _file("hsface20k-lmdb", "dataset", _VEC2FACE, "HSFaces/hsface20k.lmdb", _NOT_STATED, "HSFace20K images", "dataset"),
    _file(
        "hsface100k-mask",
        "dataset",
        _VEC2FACE,
        "HSFaces/hsface100k_mask.npy",
        _NOT_STATED,
        "rows of HSFace300K that make HSFace100K",
        "dataset",
    ),
    _file(
        "hsface200k-mask",
        "dataset",
        _VEC2FACE,
        "HSFaces/hsface200k_mask.npy",
        _NOT_STATED,
        "rows of HSFace300K that make HSFace200K",
        "dataset",
    ),
    WeightsEntry(
        name="vec2face-plus",
        kind="generator",
        tier="published",
        repository=_VEC2FACE_PLUS,
        file="vec2face_plus/main_model.pth",
        format="vec2face-generator",
        licence=_PLUS_LICENCE,
        purpose="the Vec2Face+ main generator; takes vectors of arcface-r100-glint360k",
    ),
    WeightsEntry(
        name="vec2face-plus-pose",
        kind="generator",
        tier="published",
        repository=_VEC2FACE_PLUS,
        file="vec2face_plus/pose_model.pth",
        format="vec2face-plus",
        licence=_PLUS_LICENCE,
        purpose="the Vec2Face+ generator conditioned on a landmark picture",
    ),
    _recogniser("vface10k", _VEC2FACE_PLUS, _PLUS_LICENCE, "VFace10K (10,000 identities)"),
    _recogniser("vface20k", _VEC2FACE_PLUS, _PLUS_LICENCE, "VFace20K (20,000 identities)"),
    _recogniser("vface100k", _VEC2FACE_PLUS, _PLUS_LICENCE, "VFace100K (100,000 identities)"),
    _recogniser("vface300k", _VEC2FACE_PLUS, _PLUS_LICENCE, "VFace300K (300,000 identities)"),
    _file("vface10k-lmdb", "dataset", _VEC2FACE_PLUS, "VFaces/vface10k.lmdb", _NOT_STATED, "VFace10K images"),
    _file("vface20k-lmdb", "dataset", _VEC2FACE_PLUS, "VFaces/vface20k.lmdb", _NOT_STATED, "VFace20K images"),
    _file("vface100k-lmdb", "dataset", _VEC2FACE_PLUS, "VFaces/vface100k.lmdb", _NOT_STATED, "VFace100K images"),
    _file(
        "webface4m-landmarks-lmdb",
        "dataset",
        _VEC2FACE_PLUS,
        "WebFace4M/WebFace4M_with_landmarks.lmdb",
        _NOT_STATED,
        "training images, features and landmark pictures of vec2face-plus-pose",
    ),
)

ENTRIES: dict[str, WeightsEntry] = {entry.name: entry for entry in _ALL}
