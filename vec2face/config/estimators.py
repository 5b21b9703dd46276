"""Schemas of attribute estimators: what a network says of the attributes it measures, and how one is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vec2face.config.base import Schema, doubled
from vec2face.config.training import Count, Share, TrainingRecipe, Weight

AttributeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="what users call the attribute")]
Positive = Annotated[float, Field(gt=0)]
Mirrored = Literal["same", "negated"]


class EstimatedAttribute(Schema):
    """One attribute of a network, as its `config.json` states it."""

    name: AttributeName
    unit: str = Field(min_length=1, description="of the values")
    centre: float = Field(description="value that an output of 0 stands for, in the unit")
    spread: Positive = Field(description="change of the value for an output of 1, in the unit")
    low: float = Field(description="lower end of the range it was validated in, in the unit")
    high: float = Field(description="upper end of that range")
    tolerance: Positive = Field(description="a deviation from a target that is accepted, in the unit")
    error: float | None = Field(None, ge=0, description="mean absolute error on held-out faces; null: not measured")
    mirrored: Mirrored | None = Field(
        None,
        description="its value in the mirror image of a face, at which the network then looks as well; null: not known",
    )

    @model_validator(mode="after")
    def _range(self) -> "EstimatedAttribute":
        if not self.low < self.high:
            raise ValueError(f"the range of {self.name} must have low below high")
        return self


class LearnedAttribute(Schema):
    """One attribute that is learnt from a column of the labels table."""

    name: AttributeName
    unit: str = Field(min_length=1, description="of the values in the table")
    mirrored: Mirrored = Field("same", description="its value in the mirror image of a face")
    turned: Literal["same", "added"] = Field("same", description="added: a picture turned clockwise has that much more")
    scale: Positive = Field(1.0, description="what the table's values are multiplied by")
    balanced: bool = Field(False, description="whether faces with rare values are shown more often")
    range: tuple[float, float] | None = Field(
        None,
        description="targets that may be asked for, in the unit; null: percentiles of the held-out labels. "
        "Held-out faces must reach both ends",
    )
    weight: Weight = Field(1.0, description="of its loss")
    tolerance: Positive | None = Field(None, description="of targets, in the unit; null: the held-out error")

    @model_validator(mode="after")
    def _range_is_one(self) -> "LearnedAttribute":
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"the range of {self.name} must have its low end first")
        if self.range is not None and self.turned == "added":
            raise ValueError(f"the range of {self.name} is that of turned pictures; leave it out")
        return self


class DegradedPictures(Schema):
    """An attribute that is learnt from damaged pictures: the percentage of the identity that a teacher still sees."""

    name: AttributeName = "quality"
    count: Count = Field(6000, description="damaged pictures of training faces, labelled once")
    held_out: Count = Field(1000, description="damaged pictures of held-out faces, to measure on")
    share: Share = Field(0.35, gt=0, lt=1, description="share of a batch that is damaged pictures")
    clear_share: Share = Field(0.5, gt=0, description="share of the faces, those of longest embeddings, to damage")
    known_above: float = Field(
        50.0, ge=0, le=100, description="quality in percent above which a picture's other labels still hold"
    )
    weight: Weight = Field(1.0, description="of its loss")
    tolerance: Positive | None = Field(None, description="of targets, in percent; null: the held-out error")


class EstimatorRecipe(TrainingRecipe):
    """Train a small network that measures attributes of a face."""

    name: str = Field(min_length=1, description="what the network is called")
    attributes: tuple[LearnedAttribute, ...] = Field((), description="learnt from the labels table")
    degraded: DegradedPictures | None = Field(None, description="learnt from damaged pictures; null: nothing is")
    held_out_share: Share = Field(
        0.06, description="share of the faces without a known person that is kept to measure on"
    )
    apart: float = Field(0.5, gt=-1, le=1, description="largest cosine, by the pack's features, to a held-out face")
    stage_widths: tuple[Count, ...] = Field(
        (16, 32, 64, 128), min_length=1, description="channels at 48, 24, 12 and 6 pixels"
    )
    stage_depths: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0, 0, 2, 1), description="residual blocks at each of them"
    )
    shift_pixels: float = Field(2.0, ge=0, description="augmentation: largest translation, pixels")
    zoom: float = Field(0.04, ge=0, lt=1, description="augmentation: largest relative change of scale")
    turn_degrees: float = Field(10.0, ge=0, le=45, description="augmentation: largest rotation, degrees")
    color: float = Field(0.3, ge=0, lt=1, description="augmentation: largest relative change of brightness, contrast")
    side_light: float = Field(0.0, ge=0, lt=1, description="augmentation: largest brightening towards one edge")

    @model_validator(mode="after")
    def _something_to_learn(self) -> "EstimatorRecipe":
        names = [one.name for one in self.attributes] + ([self.degraded.name] if self.degraded else [])
        if not names:
            raise ValueError("nothing to learn: name attributes of a labels table, or degraded pictures")
        if twice := doubled(names):
            raise ValueError(f"the attribute {twice} is there twice")
        return self

    @model_validator(mode="after")
    def _sizes_agree(self) -> "EstimatorRecipe":
        if len(self.stage_widths) != len(self.stage_depths):
            raise ValueError(
                f"stage_widths has {len(self.stage_widths)} entries and stage_depths {len(self.stage_depths)}"
            )
        return self

    @model_validator(mode="after")
    def _enough_damaged(self) -> "EstimatorRecipe":
        if self.degraded and self.degraded.count < self.degraded.share * self.schedule.batch_size:
            raise ValueError("degraded.count must be at least a batch's share of them")
        return self
