"""Schema of the recipes that train a recogniser on labelled faces: data, network, head, optimiser, schedule."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from vec2face.config.base import Schema
from vec2face.config.training import Count, MomentDecay, RunOptions, Share, Weight

Positive = Annotated[float, Field(gt=0)]
Range = tuple[Positive, Positive]


class Choice(Schema):
    """One of several kinds of a part, told apart by `kind`; says to which kind a misplaced option belongs."""

    SIBLINGS: ClassVar[list[type["Choice"]]]

    @model_validator(mode="before")
    @classmethod
    def _no_option_of_another_kind(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values.keys() - cls.model_fields.keys():
                owners = [_kind_of(other) for other in cls.SIBLINGS if key in other.model_fields]
                if owners:
                    raise ValueError(f"{key} is an option of {' and '.join(owners)}, not of {_kind_of(cls)}")
        return values


def _kind_of(choice: type[Choice]) -> str:
    return str(get_args(choice.model_fields["kind"].annotation)[0])


class _Network(Choice):
    SIBLINGS: ClassVar[list[type[Choice]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _Network.SIBLINGS.append(cls)


class IResNetOptions(_Network):
    """The residual network of ArcFace; see `vec2face.models.embedders.iresnet`."""

    kind: Literal["iresnet"] = "iresnet"
    depth: Literal[18, 34, 50, 100] = 50
    squeeze_excitation: Literal["none", "first_blocks"] = Field(
        "none", description="gates on the skip branch of each stage's first block [first_blocks]"
    )
    dim: Count = Field(512, description="width of the embedding")
    zero_last_norm: bool = Field(False, description="begin with residual branches that add nothing")


class MobileFaceNetOptions(_Network):
    """The `mbf` network of ArcFace's PyTorch code; see `vec2face.models.embedders.mobilefacenet`."""

    kind: Literal["mobilefacenet"] = "mobilefacenet"
    dim: Count = Field(512, description="width of the embedding")


class CompactOptions(_Network):
    """The network for CPUs; see `vec2face.models.embedders.compact`."""

    kind: Literal["compact"] = "compact"
    widths: tuple[Count, Count, Count, Count] = Field(
        (32, 64, 128, 256), description="channels at 56, 28, 14, 7 pixels"
    )
    depths: tuple[int, int, int, int] = Field((0, 1, 2, 1), description="residual blocks at those resolutions")
    dim: Count = Field(128, description="width of the embedding")
    zero_last_norm: bool = Field(True, description="begin with residual branches that add nothing")


class _Head(Choice):
    SIBLINGS: ClassVar[list[type[Choice]]] = []

    scale: float = Field(64.0, gt=0, description="s, by which cosines are multiplied")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _Head.SIBLINGS.append(cls)


class ArcFaceOptions(_Head):
    """See `vec2face.models.heads.ArcFace`."""

    kind: Literal["arcface"] = "arcface"
    margin: float = Field(0.5, ge=0, lt=1.57, description="m, radians")
    easy_margin: bool = Field(False, description="no margin for angles beyond pi / 2")


class CosFaceOptions(_Head):
    """See `vec2face.models.heads.CosFace`."""

    kind: Literal["cosface"] = "cosface"
    margin: float = Field(0.4, ge=0, le=1, description="m, a difference of cosines")


class AdaFaceOptions(_Head):
    """See `vec2face.models.heads.AdaFace`."""

    kind: Literal["adaface"] = "adaface"
    margin: float = Field(0.4, ge=0, le=1, description="m, radians and a difference of cosines")
    h: float = Field(0.333, gt=0, description="how fast quality saturates")
    t_alpha: float = Field(0.01, gt=0, le=1, description="weight of the newest batch in the lengths' statistics")


class MagFaceOptions(_Head):
    """See `vec2face.models.heads.MagFace`."""

    kind: Literal["magface"] = "magface"
    l_a: float = Field(10.0, gt=0, description="lower bound of the embedding's length")
    u_a: float = Field(110.0, gt=0, description="upper bound of the embedding's length")
    l_margin: float = Field(0.45, ge=0, lt=1.57, description="margin at l_a, radians")
    u_margin: float = Field(0.8, ge=0, lt=1.57, description="margin at u_a, radians")
    lambda_g: Weight = Field(35.0, description="weight of the term that rewards length")
    easy_margin: bool = Field(True, description="no margin for angles beyond pi / 2")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "MagFaceOptions":
        if self.l_a >= self.u_a or self.l_margin > self.u_margin:
            raise ValueError("l_a must be smaller than u_a, and l_margin no larger than u_margin")
        return self


class CurricularFaceOptions(_Head):
    """See `vec2face.models.heads.CurricularFace`."""

    kind: Literal["curricularface"] = "curricularface"
    margin: float = Field(0.5, ge=0, lt=1.57, description="m, radians")
    momentum: float = Field(0.01, gt=0, le=1, description="weight of the newest batch in t")


class _Optimizer(Choice):
    SIBLINGS: ClassVar[list[type[Choice]]] = []

    weight_decay: Weight = Field(
        5e-4, description="of convolutions, matrices and class centres; never of norms, biases"
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _Optimizer.SIBLINGS.append(cls)


class SgdOptions(_Optimizer):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    momentum: MomentDecay = 0.9


class AdamWOptions(_Optimizer):
    """AdamW."""

    kind: Literal["adamw"] = "adamw"
    betas: tuple[MomentDecay, MomentDecay] = (0.9, 0.999)


NetworkOptions = Annotated[IResNetOptions | MobileFaceNetOptions | CompactOptions, Field(discriminator="kind")]
HeadOptions = Annotated[
    ArcFaceOptions | CosFaceOptions | AdaFaceOptions | MagFaceOptions | CurricularFaceOptions,
    Field(discriminator="kind"),
]
OptimizerOptions = Annotated[SgdOptions | AdamWOptions, Field(discriminator="kind")]


class RecognitionSchedule(Schema):
    """Length and learning rate of a training, in epochs of the data or in images seen."""

    unit: Literal["epochs", "images"] = Field("epochs", description="what length, warmup and drop_at are given in")
    length: float = Field(gt=0, description="when the training ends")
    batch_size: Count = Field(128, description="images a step, of all processes together")
    accumulate: Count = Field(1, description="forward and backward passes a step is split into, to save memory")
    learning_rate: float = Field(gt=0, description="peak learning rate")
    warmup: float = Field(0.0, ge=0, description="how long it rises linearly, from near 0")
    decay: Literal["steps", "cosine"] = Field("steps", description="fall at the points of drop_at, or by half a cosine")
    drop_at: tuple[Positive, ...] = Field((), description="steps: when the rate is multiplied by drop_factor")
    drop_factor: float = Field(0.1, gt=0, lt=1, description="steps: what it is multiplied by")
    final_share: Share = Field(0.0, description="cosine: the last learning rate as a share of the peak")
    gradient_clip: float = Field(5.0, gt=0, description="largest norm of the network's gradient")

    @model_validator(mode="after")
    def _points_are_inside(self) -> "RecognitionSchedule":
        if self.warmup >= self.length:
            raise ValueError("warmup must be shorter than length")
        if list(self.drop_at) != sorted(set(self.drop_at)) or (self.drop_at and self.drop_at[-1] >= self.length):
            raise ValueError("drop_at must rise and end before length")
        return self

    @model_validator(mode="after")
    def _no_idle_option(self) -> "RecognitionSchedule":
        fields = type(self).model_fields
        idle = {"steps": ("final_share",), "cosine": ("drop_at", "drop_factor")}[self.decay]
        for name in idle:
            if getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect where decay is {self.decay}")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> "RecognitionSchedule":
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of accumulate {self.accumulate}")
        return self


class DatasetOptions(Schema):
    """What is taken of a dataset, and how often."""

    people: Count | None = Field(None, description="the first so many people only, by their numbers")
    images_per_person: Count | None = Field(None, description="the first so many images of each person only")
    at_least: dict[str, float] = Field(
        {}, description="column of metadata.parquet -> lowest value, such as cosine_to_centre: 0.3; others are left out"
    )
    weight: float = Field(1.0, gt=0, le=100, description="how often each image occurs in an epoch, on average")


class RecognitionAugmentation(Schema):
    """Random changes of the training images. The published values are AdaFace's, with erasing added."""

    flip: Share = Field(0.5, description="chance of a mirror image")
    crop: Share = Field(0.3, description="chance that all but a random box becomes black [0.3]")
    crop_area: Range = Field((0.2, 1.0), description="share of the image's area that the box keeps")
    low_resolution: Share = Field(
        0.3, description="chance of scaling down and up again, by random interpolations [0.3]"
    )
    low_resolution_side: Range = Field((0.2, 1.0), description="side of the small image, as a share")
    photometric: Share = Field(0.3, description="chance of other brightness, contrast and saturation [0.3]")
    photometric_strength: float = Field(0.5, ge=0, lt=1, description="largest relative change of each")
    erase: Share = Field(0.5, description="chance that a random box becomes the mean grey [0.5]")
    erase_area: Range = Field((0.02, 0.33), description="share of the image's area that the box covers")

    @model_validator(mode="after")
    def _ranges_are_in_order(self) -> "RecognitionAugmentation":
        for name in ("crop_area", "low_resolution_side", "erase_area"):
            low, high = getattr(self, name)
            if not low <= high <= 1:
                raise ValueError(f"{name} must be two shares in rising order, up to 1")
        return self


class Prototypes(Schema):
    """A second loss, of images against the people of their own batch; see `vec2face.training.prototypes`."""

    images: int = Field(
        4, ge=2, le=64, description="images of each person in a batch, which holds so many fewer people"
    )
    weight: float = Field(1.0, gt=0, description="of the loss, beside the head's")
    scale: float = Field(16.0, gt=0, description="by which cosines are multiplied")


class RecognizerRecipe(Schema):
    """Train a recogniser from scratch on labelled faces."""

    name: str = Field(min_length=1, description="name of the feature space the recogniser defines")
    network: NetworkOptions
    head: HeadOptions
    centre_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the class centres in each step's softmax: the batch's own and random ones",
    )
    prototypes: Prototypes | None = Field(
        None, description="learn from the people of each batch too; null: batches of single images, the head alone"
    )
    optimizer: OptimizerOptions
    schedule: RecognitionSchedule
    augmentation: RecognitionAugmentation = RecognitionAugmentation()
    datasets: tuple[DatasetOptions, ...] = Field(
        (DatasetOptions(),), min_length=1, description="one entry for all datasets, or one for each in their order"
    )
    cache_images: int = Field(
        0, ge=0, description="keep the images decoded in memory if there are no more (38 KB each)"
    )
    weights: Literal["last", "average"] = Field("last", description="what is kept: the last weights or their average")
    keep: Literal["last", "best"] = Field(
        "last", description="the last measured weights, or the best in the validation"
    )
    validation: str | None = Field(None, description="verification set (.bin) of people who are in no test set")
    run: RunOptions = RunOptions()

    @model_validator(mode="after")
    def _people_fill_the_batch(self) -> "RecognizerRecipe":
        if self.prototypes is not None and not self.passes_hold_whole_people(processes=1):
            raise ValueError(
                f"batch_size {self.schedule.batch_size} must be a multiple of prototypes.images "
                f"{self.prototypes.images} times accumulate {self.schedule.accumulate}, and hold two people a pass"
            )
        return self

    def passes_hold_whole_people(self, *, processes: int) -> bool:
        """Whether each pass of so many processes has all the batch's images of two people or more."""
        if self.prototypes is None:
            return True
        person = self.prototypes.images * self.schedule.accumulate * processes
        return self.schedule.batch_size % person == 0 and self.schedule.batch_size >= 2 * person

    @model_validator(mode="after")
    def _the_best_is_measured(self) -> "RecognizerRecipe":
        if self.keep == "best" and self.validation is None:
            raise ValueError("keep: best needs a validation set to be the best in; name its file as validation")
        return self
