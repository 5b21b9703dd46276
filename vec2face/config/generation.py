"""Schema of a generation recipe: whose faces, how many images of each, how varied, in which form on disk."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vec2face.config.base import Schema
from vec2face.config.places import Place
from vec2face.config.pose import PoseControl
from vec2face.config.steering import RecipeSteering, RequestText

MAX_IDENTITIES = 10_000_000  # the identity field of an image's key has seven digits
MAX_IMAGES_PER_IDENTITY = 10_000  # its image field has four
DEFAULT_JPEG_QUALITY = 95
DEFAULT_CEILING = 0.3  # cosine that two sampled identities stay below
MOST_IMAGES_TRIED = 20  # of an identity, unless more are asked for
DEFAULT_RATE = 1e-4  # false match rate that people keep apart by as rendered

MAX_BATCH_SIZE = 65_536  # beyond any machine's memory
MAX_THREADS = 1_024  # beyond any machine's cores

Count = Annotated[int, Field(ge=1)]
AttributeName = Annotated[str, Field(min_length=1)]
IdentityCount = Annotated[int, Field(ge=1, le=MAX_IDENTITIES)]


def default_method(source: str | None) -> Literal["pack", "reject"]:
    """Return how candidates of a source are kept apart unless the user says otherwise.

    Candidates that are distributed as real features are crowded, and far more fit when they are packed. Isotropic ones
    of many features keep apart by themselves, and the vectors of a file are not ours to move.
    """
    return "pack" if source == "pca" else "reject"


class Photos(Schema):
    """Real photographs to take identity vectors from, one identity a photograph."""

    paths: tuple[Place, ...] = Field(min_length=1, description="image files, or folders of them")
    detector: Place | None = Field(
        None, description="face detector (.onnx: YuNet or SCRFD) for alignment; null: they are aligned crops"
    )
    embedder: str | None = Field(
        None, description="embedder of the generator's feature space; null: the known one of that name"
    )


class RenderedSelection(Schema):
    """Choosing identities by what the generator makes of them; more are tried than are wanted."""

    embedder: str | None = Field(
        None, description="embedder that sees the pictures; null: that of the generator's feature space"
    )
    ceiling: float | None = Field(
        None, gt=-1, le=1, description="cosine that two people's centres stay below; null: by false_match_rate"
    )
    false_match_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description=f"share of strangers taken for one person, resolved by the embedder; null: {DEFAULT_RATE:g}",
    )
    consistency: float | None = Field(
        None, ge=-1, lt=1, description="cosine that centre and own vector reach; null: the ceiling"
    )
    images: int | None = Field(
        None,
        ge=1,
        le=MAX_IMAGES_PER_IDENTITY,
        description=f"images tried of each; null: all that the dataset will have, up to {MOST_IMAGES_TRIED}",
    )
    spare: float = Field(1.0, ge=0, le=100, description="candidates beyond the identities wanted, as a share of them")

    @model_validator(mode="after")
    def _one_ceiling(self) -> "RenderedSelection":
        if self.ceiling is not None and self.false_match_rate is not None:
            raise ValueError("ceiling and false_match_rate exclude each other; keep one")
        return self

    @property
    def rate(self) -> float:
        """The false match rate, with the value that null stands for; it counts where no ceiling is given."""
        return DEFAULT_RATE if self.false_match_rate is None else self.false_match_rate

    def images_tried(self, images_per_identity: int) -> int:
        """Return the images tried of each identity, with what null stands for."""
        return min(MOST_IMAGES_TRIED if self.images is None else self.images, images_per_identity)


class Identities(Schema):
    """Where identity vectors come from: a ready bank, photographs, or sampling from a source."""

    bank: Place | None = Field(None, description="a saved bank or plain vectors (.safetensors, .npy), taken in order")
    photos: Photos | None = Field(None, description="photographs to embed")
    source: Literal["pca", "gaussian", "file"] | None = Field(
        None, description="what candidates are drawn from; null: pca, or nothing where bank or photos are given"
    )
    statistics: Place | None = Field(None, description="pca: mean and components; null: those of the embedded weights")
    standard_deviation: float | None = Field(
        None, gt=0, description="gaussian: raw feature units a dimension; null: the generator's sigma unit"
    )
    candidates: Place | None = Field(None, description="file: the candidate vectors (.safetensors, .npy)")
    count: IdentityCount | None = Field(
        None, description="identities; null: all of a bank or of the photographs, 100 when sampled"
    )
    ceiling: float | None = Field(
        None, gt=-1, le=1, description=f"cosine that two sampled identities stay below; null: {DEFAULT_CEILING}"
    )
    method: Literal["pack", "reject"] | None = Field(
        None,
        description="pack: move candidates apart; reject: leave out those too close; null: pack from pca, or reject",
    )
    rendered: RenderedSelection | None = Field(
        None, description="choose by what the generator makes of them; null: by their vectors alone"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "Identities":
        given = [name for name in ("bank", "photos", "source") if getattr(self, name) is not None]
        problems = []
        if len(given) > 1:
            problems.append(f"{' and '.join(given)} exclude each other; keep one")
        owners = {"statistics": "pca", "standard_deviation": "gaussian", "candidates": "file"}
        for name, owner in owners.items():
            if getattr(self, name) is not None and self.sampled_from != owner:
                problems.append(f"{name} belongs to source: {owner}")
        if self.sampled_from == "file" and self.candidates is None:
            problems.append("source: file needs candidates, the path of the vectors")
        if self.sampled_from is None:
            for name in ("ceiling", "method", "rendered"):
                if getattr(self, name) is not None:
                    problems.append(f"{name} belongs to sampling; a bank or photographs are taken as they are")
        if self.sampled_from == "file" and self.method == "pack":
            problems.append("method: pack moves vectors; those of a file are chosen by reject")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def sampled_from(self) -> str | None:
        """The source that identities are sampled from, or None when a bank or photographs give them."""
        if self.bank is not None or self.photos is not None:
            return self.source
        return self.source or "pca"

    def sampling(self) -> tuple[int, float]:
        """Return count and ceiling of a sampling, with the values that null stands for."""
        return (100 if self.count is None else self.count, DEFAULT_CEILING if self.ceiling is None else self.ceiling)

    def sampling_method(self) -> Literal["pack", "reject"]:
        """Return how a sampling keeps identities apart, with what null stands for."""
        return self.method or default_method(self.sampled_from)

    def resolved(self) -> "Identities":
        """Return the same request with the values that null stands for."""
        if self.sampled_from is None:
            return self
        count, ceiling = self.sampling()
        values = {"source": self.sampled_from, "count": count, "ceiling": ceiling, "method": self.sampling_method()}
        return self.model_copy(update=values)


class SigmaShare(Schema):
    """One strength of perturbation and how much of each identity gets it."""

    sigma: float = Field(ge=0, description="standard deviation of the noise on the identity vector, in sigma units")
    share: float = Field(gt=0, description="relative weight; the shares are normalised to their sum")


class Variation(Schema):
    """How the images of one identity differ. Default: the published mixture (arXiv 2409.02979)."""

    mixture: tuple[SigmaShare, ...] = Field(
        (
            SigmaShare(sigma=0.3, share=40),
            SigmaShare(sigma=0.5, share=40),
            SigmaShare(sigma=0.7, share=20),
        ),
        min_length=1,
        description="exact shares inside each identity, by largest remainder",
    )
    appearance: float | None = Field(
        None,
        ge=0,
        le=3,
        description="standard deviation of the appearance code (pose, expression, light, background), for a generator "
        "that takes one; 0: the average look; null: 1",
    )

    @model_validator(mode="after")
    def _distinct(self) -> "Variation":
        sigmas = [part.sigma for part in self.mixture]
        if len(set(sigmas)) != len(sigmas):
            raise ValueError("each sigma may stand in the mixture once")
        return self


class MaskRate(Schema):
    """Truncated normal distribution of the share of face tokens that are masked."""

    min: float = Field(ge=0, le=1, description="smallest share, also the share dropped from the encoder")
    max: float = Field(ge=0, le=1, description="largest share")
    mean: float = Field(description="mean of the untruncated normal, share")
    std: float = Field(gt=0, description="standard deviation of the untruncated normal, share")

    @model_validator(mode="after")
    def _ordered(self) -> "MaskRate":
        if self.min > self.max:
            raise ValueError("min must not be larger than max")
        return self


class ImageFormat(Schema):
    """How images are encoded."""

    format: Literal["jpeg", "png", "webp"] = Field("jpeg", description="png and webp are lossless")
    quality: int | None = Field(
        None, ge=1, le=100, description=f"jpeg: 1 to 100; null: {DEFAULT_JPEG_QUALITY}; lossless formats take none"
    )

    @model_validator(mode="after")
    def _quality_fits(self) -> "ImageFormat":
        if self.format != "jpeg" and self.quality is not None:
            raise ValueError(f"{self.format} is lossless and takes no quality; leave it out or use jpeg")
        return self

    def resolved(self) -> "ImageFormat":
        """The same format with the quality that null stands for."""
        if self.format == "jpeg" and self.quality is None:
            return self.model_copy(update={"quality": DEFAULT_JPEG_QUALITY})
        return self

    @property
    def suffix(self) -> str:
        """File name ending without the dot."""
        return "jpg" if self.format == "jpeg" else self.format


class Shards(Schema):
    """How the dataset is cut into archives, the unit of work and of resuming."""

    identities_per_shard: Count = Field(20, description="identities an archive holds; all images of one stay together")


class Compute(Schema):
    """What may change the last bits of an image, and so belongs to the plan, not to the machine."""

    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "float32",
        description="precision of the generator's arithmetic; auto: bfloat16 where the device has instructions for it",
    )
    batch_size: Count = Field(32, le=MAX_BATCH_SIZE, description="images rendered together")
    threads_per_worker: Count = Field(1, le=MAX_THREADS, description="CPU threads of each rendering process")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where images are rendered")

    @property
    def arithmetic(self) -> Literal["float32", "bfloat16"]:
        """The precision in use. Raises `ValueError` while it is auto, which `vec2face.arithmetic` settles."""
        if self.dtype == "auto":
            raise ValueError("compute.dtype is auto and not settled yet")
        return self.dtype


class GenerateRecipe(Schema):
    """One dataset."""

    name: str = Field("faces", min_length=1, description="name of the dataset, for its card")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="seed of every draw")
    weights: str = Field("embedded", min_length=1, description="generator: registry name, folder or hub id")
    identities: Identities = Identities()
    images_per_identity: int = Field(20, ge=1, le=MAX_IMAGES_PER_IDENTITY, description="images of each identity")
    variation: Variation = Variation()
    mask: MaskRate | None = Field(None, description="null: the sampling mask in the generator's config")
    image: ImageFormat = ImageFormat()
    pose: PoseControl | None = Field(None, description="views, for a generator with a pose condition; null: none")
    attributes: dict[AttributeName, RequestText] | None = Field(
        None, description="attribute: target or distribution of targets, in its unit; null: nothing is steered"
    )
    steering: RecipeSteering | None = Field(None, description="how attributes are steered; null: default values")
    shards: Shards = Shards()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _something_is_steered(self) -> "GenerateRecipe":
        if self.attributes is not None and not self.attributes:
            raise ValueError("attributes names none; leave it out, or ask for something, such as brightness: 140")
        if self.pose is not None and self.attributes is not None:
            raise ValueError(
                "pose and attributes exclude each other: steering renders without landmark pictures; keep one"
            )
        if self.steering is not None and self.attributes is None:
            raise ValueError("steering belongs to attributes, which are not asked for; say there what is wanted")
        return self

    def resolved(self) -> "GenerateRecipe":
        """The same recipe with every value that null stands for and that needs no file to know."""
        steering = None if self.attributes is None else (self.steering or RecipeSteering()).resolved()
        resolved = {"identities": self.identities.resolved(), "image": self.image.resolved(), "steering": steering}
        return self.model_copy(update=resolved)
