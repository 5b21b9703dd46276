"""What is known of a network's origin: the file `card.json` beside its weights. No torch here.

A dataset inherits what stands here: its card repeats the data and terms of the weights it was made with.
"""

from pathlib import Path

from pydantic import Field, ValidationError

from vec2face.config.base import Schema
from vec2face.errors import InputError
from vec2face.fileio.atomic import write_json

FILE_NAME = "card.json"


class TrainingData(Schema):
    """One set of images that a network has learnt from, directly or through a teacher."""

    name: str = Field(min_length=1, description="name of the set, and which part of it")
    role: str = Field(min_length=1, description='how it was used, such as "training images" or "data of the teacher"')
    licence: str = Field(min_length=1, description='terms of use as its source states them, or "not stated"')
    consent: str = Field(min_length=1, description='whether the people shown agreed, or "not stated"')


class ModelCard(Schema):
    """Origin and terms of one network's weights."""

    name: str = Field(min_length=1, description="name of the weights")
    licence: str = Field(min_length=1, description="terms of use of the weights")
    source: str = Field(min_length=1, description="who made them, or where they were published")
    data: tuple[TrainingData, ...] = Field(min_length=1, description="everything they have learnt from")


def read_model_card(path: Path) -> ModelCard:
    """Read a `card.json`. Raises `InputError` if it is missing or incomplete; the message names every bad key."""
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the model card {path}: {error.strerror or error}.") from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg'].lower()}" for e in error.errors())
        raise InputError(f"{path} is not a model card ({problems}); see `vec2face.config.model_card`.") from None


def write_model_card(folder: Path, card: ModelCard) -> None:
    """Write `card.json` into a folder of weights, atomically. Raises `StorageError`."""
    write_json(folder / FILE_NAME, card.model_dump(mode="json"))
