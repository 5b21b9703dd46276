"""Schemas of the training recipes: what a face pack is made of, and how the embedder and the generator are trained."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vec2face.config.base import Schema

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
MomentDecay = Annotated[float, Field(ge=0.0, lt=1.0)]


class PackSource(Schema):
    """One source of aligned 112x112 faces: `tar`, or `path` for every other format."""

    tar: str | None = Field(None, description="tar of images, relative to the data root; KEY.jpg or GROUP/KEY.jpg")
    path: str | None = Field(
        None, description="prepared folder, image folder, archives, .rec or LMDB, relative to the data root"
    )
    people: Literal["auto", "folders", "none"] = Field("auto", description="of a path: whether folders name people")
    table: str | None = Field(None, description="CSV with a row per image: column 'key', flags, validity corners")
    exclude_where: tuple[str, ...] = Field((), description="columns of the table; a row with a 1 in any is left out")
    features: str | None = Field(
        None, description=".npy (N, 2, D): teacher embedding of each image and of its mirror; null: those in the source"
    )
    grouped: bool = Field(False, description="of a tar, true: the folder inside the tar names the person")

    @model_validator(mode="after")
    def _one_kind(self) -> "PackSource":
        if (self.tar is None) == (self.path is None):
            raise ValueError("a source has either a tar or a path")
        if self.path is not None and self.grouped:
            raise ValueError("grouped belongs to a tar; a path has people: folders")
        if self.tar is not None and self.people != "auto":
            raise ValueError("people belongs to a path; a tar has grouped")
        return self

    @property
    def name(self) -> str:
        """What the source is called in messages."""
        return self.tar or self.path or ""


class PackRecipe(Schema):
    """How a face pack (a memory-mapped training set) is put together."""

    sources: tuple[PackSource, ...] = Field(min_length=1)
    holdout_share: Share = Field(0.08, description="share of the people (of grouped sources) kept out of training")
    holdout_seed: int = Field(0, description="seed of that choice")


class Schedule(Schema):
    """Length and learning rate of a training, in images seen."""

    images: Count = Field(description="images seen in all")
    batch_size: Count = Field(128, description="images a step, of all processes together")
    accumulate: Count = Field(1, description="forward and backward passes a step is split into, to save memory")
    learning_rate: float = Field(gt=0, description="peak learning rate of AdamW")
    warmup_images: int = Field(0, ge=0, description="images of linear warm-up; a cosine to final_share follows")
    final_share: Share = Field(0.02, description="the last learning rate as a share of the peak")
    betas: tuple[float, float] = Field((0.9, 0.99), description="AdamW moment decays")
    weight_decay: Weight = 0.0
    gradient_clip: float = Field(2.0, gt=0, description="largest norm of the gradient")

    @model_validator(mode="after")
    def _warmup_fits(self) -> "Schedule":
        if self.warmup_images >= self.images:
            raise ValueError("warmup_images must be smaller than images")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> "Schedule":
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of accumulate {self.accumulate}")
        return self


class RunOptions(Schema):
    """How a training computes, and its bookkeeping."""

    # What may change when a run goes on: it decides what is written down and when, never what is computed.
    BOOKKEEPING: ClassVar[frozenset[str]] = frozenset(
        {"readers", "log_every", "checkpoint_every", "checkpoint_minutes", "preview_every", "tensorboard"}
    )

    seed: int = 0
    precision: Precision = Field(
        "auto",
        description="autocast precision; parameters stay float32, float16 scales the losses; auto: bfloat16 where the "
        "device has instructions for it, else float32",
    )
    threads: Count = Field(2, description="CPU threads of each process")
    readers: Count = Field(1, description="threads of each process that read batches ahead")
    ema_half_life_images: float = Field(20_000, gt=0, description="half-life of the weights' moving average, in images")
    log_every: Count = Field(20, description="steps between journal lines")
    checkpoint_every: Count = Field(200, description="steps between checkpoints")
    checkpoint_minutes: float = Field(10.0, gt=0, description="minutes after which a checkpoint is written anyway")
    preview_every: Count = Field(400, description="steps between previews and held-out measurements")
    tensorboard: bool = Field(False, description="write the journal for TensorBoard as well")


class TrainingRecipe(Schema):
    """What every training has: how long, how fast, and how it is run."""

    schedule: Schedule
    run: RunOptions = RunOptions()


class EmbedderRecipe(TrainingRecipe):
    """Distil a small embedder from teacher embeddings stored in a face pack."""

    name: str = Field(description="name of the feature space the embedder defines")
    widths: tuple[int, ...] = Field((32, 64, 128, 256), description="channels at 56, 28, 14 and 7 pixels")
    depths: tuple[int, ...] = Field((0, 1, 2, 1), description="residual blocks at those resolutions")
    shift_pixels: float = Field(4.0, ge=0, description="augmentation: largest translation, pixels")
    zoom: float = Field(0.06, ge=0, lt=1, description="augmentation: largest relative change of scale")
    rotate_degrees: float = Field(6.0, ge=0, description="augmentation: largest rotation, degrees")
    color: float = Field(0.25, ge=0, lt=1, description="augmentation: largest relative change of brightness, contrast")
    soften_probability: Share = Field(0.3, description="augmentation: chance that an image is down- and up-scaled")
    cosine_weight: Weight = Field(1.0, description="weight of 1 - cosine to the teacher")
    raw_weight: Weight = Field(0.5, description="weight of the squared error in units of the teacher's variance")
    blends: int = Field(0, ge=0, description="blends of two faces to learn from as well, labelled by the teacher")
    blend_share: Share = Field(0.5, lt=1, description="share of a batch that is blends, if there are any")

    @model_validator(mode="after")
    def _enough_blends(self) -> "EmbedderRecipe":
        if 0 < self.blends < self.blend_share * self.schedule.batch_size:
            raise ValueError("blends must be 0 or more than a batch's share of them")
        return self


class GeneratorArchitecture(Schema):
    """Size of the generator; see `vec2face.models.generator`."""

    size: Literal["small", "base", "large"] = "small"


class GeneratorLosses(Schema):
    """Weights of the generator's losses; 0 leaves one out. The published weights stand in brackets."""

    pixel: Weight = Field(1.0, description="squared error of pixels in [-1, 1] [1.0]")
    pixel_absolute: Weight = Field(0.0, description="absolute error of pixels in [-1, 1] [none]")
    structure: Weight = Field(0.1, description="1 - SSIM [0.1]")
    structure_window: Literal["uniform", "gaussian"] = Field(
        "uniform", description="SSIM of luminance in 7x7 windows, or of each colour in Gaussian 11x11 ones [gaussian]"
    )
    perceptual: Weight = Field(0.2, description="perceptual distance [0.2, of LPIPS]")
    perceptual_network: Literal["embedder", "lpips"] = Field(
        "embedder", description="the embedder's feature maps, or LPIPS, whose weights --lpips names [lpips]"
    )
    perceptual_start_images: int = Field(0, ge=0, description="images seen before the perceptual loss begins")
    appearance: Weight = Field(
        0.01, description="divergence of the appearance codes in nats, for a generator that takes them [none]"
    )
    token: Weight = Field(1.0, description="squared error of the decoded tokens to the expanded map [1.0]")
    identity: Weight = Field(1.0, description="1 - cosine of the augmented rendering's embedding to the vector [1.0]")
    identity_start_images: int = Field(0, ge=0, description="images seen before the identity loss begins")
    adversarial: Weight = Field(0.0, description="what the discriminator thinks of renderings [0.8, adaptive]")
    adversarial_start_images: int = Field(0, ge=0, description="images seen before the adversarial loss begins")
    adversarial_weight: Literal["fixed", "adaptive"] = Field(
        "fixed", description="adaptive: times the ratio of the gradients' norms at the last convolution [adaptive]"
    )
    adversarial_loss: Literal["hinge", "least_squares", "relativistic"] = Field(
        "hinge", description="what discriminator and generator minimise [least_squares]"
    )
    discriminator: Literal["projected", "patch", "multiscale", "joint"] = Field(
        "projected",
        description="judges the embedder's maps; pixels, as published; three sizes; maps and two sizes [patch]",
    )
    discriminator_learning_rate: float = Field(2e-4, gt=0, description="AdamW learning rate of the discriminator")
    discriminator_betas: tuple[MomentDecay, MomentDecay] = Field(
        (0.0, 0.99), description="AdamW moment decays of the discriminator [0.9, 0.99]"
    )
    discriminator_weight_decay: Weight = Field(0.0, description="AdamW weight decay of the discriminator [0.01]")
    discriminator_every: Count = Field(1, description="steps of the generator to one of the discriminator [1]")
    gradient_penalty: Weight = Field(
        0.0, description="R1 on the discriminator's inputs, and R2 too where it is relativistic [none]"
    )
    gradient_penalty_every: Count = Field(16, description="discriminator steps to one penalty, that much stronger")
    feature_matching: Weight = Field(
        0.0, description="distance of the discriminator's hidden maps, as long as there is an adversarial loss [none]"
    )

    @property
    def perceptual_compares_maps(self) -> bool:
        """Whether the perceptual loss needs the embedder's feature maps."""
        return bool(self.perceptual) and self.perceptual_network == "embedder"

    @property
    def discriminator_judges_maps(self) -> bool:
        """Whether the discriminator needs the embedder's feature maps."""
        return bool(self.adversarial) and self.discriminator in ("projected", "joint")

    @model_validator(mode="after")
    def _something_to_learn(self) -> "GeneratorLosses":
        late = (("perceptual", self.perceptual_start_images), ("identity", self.identity_start_images))
        first = ["pixel", "pixel_absolute", "structure", "token", *(name for name, start in late if not start)]
        if not any(getattr(self, name) for name in first):
            raise ValueError(f"nothing to learn from the first image on: give a weight to one of {', '.join(first)}")
        return self

    @model_validator(mode="after")
    def _no_option_without_its_loss(self) -> "GeneratorLosses":
        idle = [
            f"{name} has no effect while {needed} is 0"
            for needed, names in _NEEDED_LOSS.items()
            for name in names
            if not getattr(self, needed) and getattr(self, name) != type(self).model_fields[name].default
        ]
        if idle:
            raise ValueError("; ".join(idle))
        return self


# A loss, and the options that say more about it.
_NEEDED_LOSS: dict[str, tuple[str, ...]] = {
    "structure": ("structure_window",),
    "perceptual": ("perceptual_network",),
    "adversarial": (
        "adversarial_weight",
        "adversarial_loss",
        "discriminator",
        "discriminator_betas",
        "discriminator_weight_decay",
        "discriminator_every",
        "gradient_penalty",
        "feature_matching",
    ),
    "gradient_penalty": ("gradient_penalty_every",),
}


class Augmentation(Schema):
    """Changes that both the real and the rendered image undergo before the embedder looks at them."""

    shift_pixels: float = Field(4.0, ge=0, description="largest translation, pixels")
    zoom: float = Field(0.08, ge=0, lt=1, description="largest relative change of scale")
    rotate_degrees: float = Field(8.0, ge=0, description="largest rotation, degrees")
    color: float = Field(0.2, ge=0, lt=1, description="largest relative change of brightness and contrast")
    soften_probability: Share = Field(0.3, description="chance that an image is down- and up-scaled")
    noise: float = Field(0.05, ge=0, description="standard deviation of added noise, in units of [-1, 1]")


class GeneratorRecipe(TrainingRecipe):
    """Train a generator on a face pack."""

    architecture: GeneratorArchitecture = GeneratorArchitecture()
    losses: GeneratorLosses = GeneratorLosses()
    augmentation: Augmentation = Augmentation()
    features: Literal["stored", "embedder"] = Field(
        "embedder", description="the identity vectors: those stored in the pack, or the loss embedder's own"
    )
    mirror_share: Share = Field(0.5, description="share of the faces shown as their mirror image")
    mixed_share: Share = Field(
        0.0, description="share of a batch whose vector is a mixture of two faces'; it has no picture to rebuild"
    )
    drawn_share: Share = Field(
        0.0,
        description="share of a batch whose vector is drawn as a dataset's are; it has no picture either",
    )
    surround_weight: Share = Field(
        0.0, description="weight, in the pixel losses, of what lies outside a face's real region"
    )
    whole_image_repeat: Count = Field(1, description="how often a face whose whole crop is real occurs in a pass")
    sheet_faces: Count = Field(16, description="held-out faces on the preview sheet")

    @model_validator(mode="after")
    def _some_faces_left(self) -> "GeneratorRecipe":
        if self.mixed_share + self.drawn_share > 0.9:
            raise ValueError("mixed_share and drawn_share together must leave a tenth of the batch to real faces")
        return self
