"""The generator: feature masked autoencoder and image decoders."""

from vec2face.models.generator.generator import GeneratorOutput, Vec2FaceGenerator

__all__ = ["GeneratorOutput", "Vec2FaceGenerator"]
