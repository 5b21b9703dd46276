"""Schema of an audit's options. No torch here."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vec2face.config.base import Schema
from vec2face.config.generation import MAX_BATCH_SIZE

Count = Annotated[int, Field(ge=1)]
Reference = Annotated[str, Field(min_length=1)]


class AuditOptions(Schema):
    """What measures a dataset, and how much is measured before a keyed sample stands for the whole."""

    embedder: Reference = Field("embedded", description="registry name, folder, ONNX file or hub id")
    second_embedder: Reference | None = Field(None, description="another one, whose numbers stand beside")
    images_per_identity: Count | None = Field(None, description="measure so many images of each identity; null: all")
    pairs: Count = Field(1_000_000, description="largest number of genuine, and of impostor, pairs of images")
    comparisons: Count = Field(20_000_000_000, description="largest number of image-to-centre cosines")
    out: Path | None = Field(None, description="folder for the report of a set that is no dataset of this toolkit")
    people: Literal["auto", "folders", "none"] = Field("auto", description="whether such a set's folders name people")
    against: tuple[Reference, ...] = Field((), description="real faces that must not be shown: embeddings or pictures")
    strangers: Reference | None = Field(
        None, description="real faces whose pairs set the limits; null: the reference's"
    )
    leak_rate: Annotated[float, Field(gt=0, le=0.01)] = Field(
        1e-6, description="share of pairs of strangers that reach the limit of a leak"
    )
    stranger_pairs: Count = Field(200_000_000, description="largest number of pairs of strangers to set a limit by")
    drop_leaks: bool = Field(False, description="exclude identities that leak from whatever reads the dataset")
    attributes: tuple[Reference, ...] = Field((), description="attributes to measure, by name")
    estimators: tuple[Reference, ...] = Field((), description="module:attribute or probe folders of further estimators")
    groups: Reference = Field("embedded", description="probes of groups of people: embedded, a folder, or none")
    reference: Path | None = Field(None, description="real faces that the pictures' realism is measured by")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="key of every sample")
    weights_card: Path | None = Field(
        None, description="card.json of the generator, where its weights are not on this machine"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where images are embedded")
    batch_size: Count = Field(64, le=MAX_BATCH_SIZE, description="images embedded together; changes speed only")
