"""Schema of how faces are prepared for training. No torch here."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vec2face.config.base import Schema

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Grey = Annotated[float, Field(ge=0.0, le=255.0)]


class PrepareOptions(Schema):
    """How faces are aligned, which are dropped, and how the kept ones are stored."""

    alignment: Literal["detector", "landmarks", "aligned"] = Field(
        description="where the five landmarks come from: a detector, a table, or the images are aligned crops already"
    )
    people: Literal["auto", "folders", "none"] = Field("auto", description="whether folders name people")
    several_faces: Literal["largest", "central", "drop"] = Field(
        "largest", description="of several faces: take the largest, the one nearest to the photo's centre, or none"
    )
    min_score: Share | None = Field(None, description="detector confidence below which there is no face; null: its own")
    min_size: float = Field(56.0, ge=0, description="side, in pixels of the photo, of the square that becomes the crop")
    max_outside: Share = Field(0.3, description="largest share of the crop's area that lies outside the photo")
    min_sharpness: float = Field(
        12.0, ge=0, description="variance of the Laplacian of the crop's centre, grey levels^2"
    )
    min_brightness: Grey = Field(20.0, description="mean of the crop's centre, grey levels from 0 to 255")
    max_brightness: Grey = Field(235.0, description="mean of the crop's centre, grey levels from 0 to 255")
    dedupe: float = Field(
        0.95,
        gt=0,
        le=1,
        description="cosine of two embeddings from which the later image is a near duplicate; 1: equal files only",
    )
    embedder: Annotated[str, Field(min_length=1)] = Field(
        "embedded", description="registry name, folder, ONNX file or hub id"
    )
    feature_batch: Count = Field(64, le=4096, description="images read and embedded together")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where images are embedded")
    format: Literal["jpeg", "png"] = Field("jpeg", description="format of the stored crops")
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="JPEG quality; null: 95 for jpeg, and png has none"
    )
    shard_size: Count = Field(5000, description="images of the source behind one shard, the unit of resuming")

    @model_validator(mode="after")
    def _fits_together(self) -> "PrepareOptions":
        if self.min_brightness >= self.max_brightness:
            raise ValueError("min_brightness must be below max_brightness")
        if self.format == "png" and self.quality is not None:
            raise ValueError("png is lossless and takes no quality")
        return self

    @property
    def jpeg_quality(self) -> int | None:
        """The quality that images are encoded with; None for PNG."""
        return self.quality or 95 if self.format == "jpeg" else None

    @property
    def suffix(self) -> str:
        """Ending of a stored image's name."""
        return {"jpeg": "jpg", "png": "png"}[self.format]
