"""Schema of where a Ray cluster renders, and with what. No torch here."""

from pydantic import Field

from vec2face.config.base import Schema


class RayOptions(Schema):
    """How shards are rendered on Ray. None of it decides a byte of the dataset."""

    address: str | None = Field(
        None,
        min_length=1,
        description="of a running cluster: auto, HOST:PORT or ray://HOST:PORT; null: a Ray of its own",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="actors, each with its own copy of the network; null: as many as the cluster has room for",
    )
    cpus_per_worker: float | None = Field(
        None, ge=0, description="CPUs reserved for each; null: the recipe's threads_per_worker"
    )
    gpus_per_worker: float | None = Field(
        None, ge=0, description="GPUs reserved for each, or a share of one; null: 1 for device cuda, else 0"
    )
    retries: int = Field(5, ge=0, le=1000, description="times that a shard is tried again after its worker was lost")
    wait_seconds: float = Field(
        60.0, ge=0, description="how long to wait, in seconds, until the cluster has a place for a worker"
    )
