"""Discriminators for adversarial training of the generator."""

from vec2face.models.discriminators.base import Discriminator, Judgement
from vec2face.models.discriminators.cross_embed import CrossEmbedDiscriminator
from vec2face.models.discriminators.joint import JointDiscriminator
from vec2face.models.discriminators.multiscale import MultiscaleDiscriminator
from vec2face.models.discriminators.projected import ProjectedDiscriminator

__all__ = [
    "CrossEmbedDiscriminator",
    "Discriminator",
    "JointDiscriminator",
    "Judgement",
    "MultiscaleDiscriminator",
    "ProjectedDiscriminator",
]
