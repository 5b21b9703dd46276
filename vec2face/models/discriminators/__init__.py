"""Discriminators for adversarial training of the generator."""

from vec2face.models.discriminators.projected import ProjectedDiscriminator

__all__ = ["ProjectedDiscriminator"]
