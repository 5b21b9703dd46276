"""How samples are steered: limits, step sizes and what may move."""

from pydantic import Field

from vec2face.config.base import Schema


class SteeringOptions(Schema):
    """Settings of `vec2face.steering.optimise.steer`."""

    max_evaluations: int = Field(60, ge=1, description="most passes through the generator, forward and back, a sample")
    batch_size: int = Field(16, ge=1, description="samples in a pass; it may change last bits, so it is part of a run")
    steer_vector: bool = Field(True, description="whether the identity vector may move")
    steer_code: bool = Field(True, description="whether the appearance code may move, where the generator has one")
    vector_step: float = Field(0.05, gt=0, description="Adam's step for the vector, in sigma units a dimension")
    code_step: float = Field(0.1, gt=0, description="Adam's step for the code, in standard deviations a dimension")
    vector_limit: float = Field(0.7, gt=0, description="largest move of the vector, root mean square, in sigma units")
    code_limit: float = Field(1.5, gt=0, description="largest code, root mean square, in standard deviations")
    identity_floor: float = Field(0.5, ge=-1, le=1, description="cosine to the identity's vector that is kept")
