"""The manifest of a shard: written last, so that its presence says the shard is finished. No torch here."""

from typing import Any

from pydantic import Field, ValidationError, model_validator

from vec2face.config.base import Schema
from vec2face.errors import DatasetError
from vec2face.fileio.atomic import write_json
from vec2face.fileio.location import Location

KEPT = "kept"

# Columns that datasets with poses alone have.
POSE_COLUMNS = ("view", "view_yaw", "view_pitch", "view_roll")


class Samples(Schema):
    """A column each for what was drawn for the images of a shard, in order; rejected images included."""

    key: tuple[str, ...] = Field(description="name of the image inside the shard")
    identity: tuple[int, ...] = Field(description="index of the identity, which is also its label")
    identity_name: tuple[str, ...] = Field(description="id of the identity in the bank")
    image: tuple[int, ...] = Field(description="index of the image within its identity")
    seed: tuple[int | None, ...] = Field(description="64-bit seed of the image's variation; null if not generated")
    sigma: tuple[float | None, ...] = Field(description="strength of the perturbation, in sigma units, or null")
    mask_rate: tuple[float | None, ...] = Field(description="share of face tokens that were masked, or null")
    status: tuple[str, ...] = Field(description=f"'{KEPT}', or why the image was left out")
    view: tuple[int, ...] | None = Field(None, description="index of the recipe's view; null: no poses")
    view_yaw: tuple[float | None, ...] | None = Field(
        None, description="of the landmarks that the generator saw, degrees"
    )
    view_pitch: tuple[float | None, ...] | None = Field(None, description="the same; null for a landmark picture")
    view_roll: tuple[float | None, ...] | None = Field(None, description="the same")

    @model_validator(mode="after")
    def _same_length(self) -> "Samples":
        columns = [getattr(self, name) for name in type(self).model_fields]
        if len({len(column) for column in columns if column is not None}) != 1:
            raise ValueError("the columns differ in length")
        return self

    @property
    def rejects(self) -> int:
        """Images left out of the archive."""
        return sum(status != KEPT for status in self.status)


class ShardManifest(Schema):
    """What a finished shard holds."""

    shard: int = Field(ge=0, description="index of the shard")
    plan: str = Field(description="fingerprint of the plan it was rendered under")
    count: int = Field(ge=0, description="images in the archive")
    rejects: int = Field(ge=0, description="images rendered but left out; see samples.status")
    size: int = Field(ge=0, description="bytes of the archive")
    sha256: str = Field(description="digest of the archive")
    samples: Samples
    steered: dict[str, tuple[str | int | float | None, ...]] | None = Field(
        None, description="the same for steering, as named in the table; null: no attributes were asked for"
    )

    @model_validator(mode="after")
    def _counts_agree(self) -> "ShardManifest":
        if any(len(column) != len(self.samples.key) for column in (self.steered or {}).values()):
            raise ValueError("the columns of steering differ in length from the samples")
        if self.rejects != self.samples.rejects or self.count + self.rejects != len(self.samples.key):
            raise ValueError("count and rejects do not agree with the samples")
        return self


def write_manifest(path: Location, manifest: ShardManifest) -> None:
    """Write a manifest atomically. Raises `StorageError`."""
    values: dict[str, Any] = manifest.model_dump(mode="json", exclude_none=True)
    write_json(path, values)


def read_manifest(path: Location) -> ShardManifest:
    """Read a manifest. Raises `DatasetError` if it is missing, unreadable, or not a manifest."""
    try:
        return ShardManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing.") from None
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}.") from None
    except ValidationError:
        raise DatasetError(f"{path} is damaged: it is not a shard's manifest.") from None
