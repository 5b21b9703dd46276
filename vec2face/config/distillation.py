"""Schema of a distillation recipe: how a small generator learns to render what a large one does."""

from typing import Any, Literal

from pydantic import Field, model_validator

from vec2face.config.base import Schema
from vec2face.config.generation import MaskRate, Variation
from vec2face.config.places import Place
from vec2face.config.training import Augmentation, Count, GeneratorLosses, Share, TrainingRecipe, Weight


class StudentArchitecture(Schema):
    """Size of the student; null keeps what the named size has. See `vec2face.models.generator`."""

    size: Literal["small", "base", "large"] = "small"
    width: Count | None = Field(None, description="width of the tokens; both numbers of heads must divide it")
    encoder_depth: Count | None = Field(None, description="transformer blocks of the encoder")
    decoder_depth: Count | None = Field(None, description="transformer blocks of the decoder")
    encoder_heads: Count | None = Field(None, description="attention heads of the encoder")
    decoder_heads: Count | None = Field(None, description="attention heads of the decoder")
    latent_channels: Count | None = Field(None, description="channels of the 7x7 map that enters the image decoder")
    image_widths: tuple[Count, Count, Count, Count] | None = Field(
        None, description="channels of the small size's image decoder at 7, 14, 28 and 56 pixels"
    )
    image_depths: tuple[Count, Count, Count, Count] | None = Field(
        None, description="residual blocks of the small size's image decoder at those resolutions"
    )

    @model_validator(mode="after")
    def _image_decoder_fits(self) -> "StudentArchitecture":
        if (self.image_widths is None) != (self.image_depths is None):
            raise ValueError("image_widths and image_depths go together; give both or neither")
        if self.image_widths is not None and self.size != "small":
            raise ValueError(f"size {self.size} has the published image decoder, which takes no image_widths")
        return self

    def overrides(self) -> dict[str, Any]:
        """The generator's constructor arguments that differ from those of the named size."""
        names = ("width", "encoder_depth", "decoder_depth", "encoder_heads", "decoder_heads", "latent_channels")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.image_widths is not None:
            given["decoder_options"] = {"widths": self.image_widths, "depths": self.image_depths}
        return given


class TeacherVectors(Schema):
    """The identity vectors that teacher and student render."""

    source: Literal["faces", "statistics", "gaussian", "bank"] = Field(
        description="faces: of a face pack; statistics or gaussian: a new person every time; bank: a file's people"
    )
    statistics: Place | None = Field(None, description="statistics: their file; null: those of the embedded weights")
    standard_deviation: float | None = Field(
        None, gt=0, description="gaussian: raw feature units a dimension; null: the teacher's sigma unit"
    )
    bank: Place | None = Field(None, description="bank: a saved bank or plain vectors (.safetensors, .npy)")
    perturbed_share: Share = Field(0.5, description="share of the vectors that are perturbed as a dataset's images are")
    variation: Variation = Field(Variation(), description="strengths of the perturbation and their shares")

    @model_validator(mode="after")
    def _belongs_to_the_source(self) -> "TeacherVectors":
        owners = {"statistics": "statistics", "standard_deviation": "gaussian", "bank": "bank"}
        problems = [
            f"{name} belongs to source: {owner}"
            for name, owner in owners.items()
            if getattr(self, name) is not None and self.source != owner
        ]
        if self.source == "bank" and self.bank is None:
            problems.append("source: bank needs bank, the path of the vectors")
        if self.variation.appearance is not None:
            problems.append("variation.appearance has no effect: codes are standard normal, as in training")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class DistillLosses(GeneratorLosses):
    """Weights of the losses: those of a generator's training, with the teacher's rendering as the real picture, and
    the teacher's tokens."""

    teacher_tokens: Weight = Field(
        1.0, description="squared error of the decoded tokens to the teacher's, in units of their variance"
    )
    teacher_token_map: Weight = Field(
        0.0, description="squared error of the expanded map before masking to the teacher's, likewise"
    )

    @model_validator(mode="after")
    def _no_code_is_read(self) -> "DistillLosses":
        if self.appearance != type(self).model_fields["appearance"].default:
            raise ValueError("appearance has no effect here: the teacher's code is given, so none is read off pictures")
        return self


class DistillRecipe(TrainingRecipe):
    """Distil a generator into another one."""

    student: StudentArchitecture = StudentArchitecture()
    vectors: TeacherVectors
    mask: MaskRate | None = Field(None, description="mask rates to learn and to sample with; null: the teacher's")
    losses: DistillLosses = DistillLosses()
    augmentation: Augmentation = Augmentation()
    sheet_faces: Count = Field(16, description="faces on the preview sheet, the teacher's above the student's")
    measured_faces: int = Field(64, ge=2, description="renderings that are compared at every preview")
