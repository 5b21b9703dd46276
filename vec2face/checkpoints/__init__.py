"""Weights: read them safely, tell what they are, convert published ones, load any of them by reference."""

from vec2face.checkpoints.convert import export_checkpoint, import_checkpoint
from vec2face.checkpoints.load import digest, load_embedder, load_estimators, load_generator, load_pose_estimator
from vec2face.checkpoints.lpips import load_lpips
from vec2face.checkpoints.safe_load import safe_load

__all__ = [
    "digest",
    "export_checkpoint",
    "import_checkpoint",
    "load_embedder",
    "load_estimators",
    "load_generator",
    "load_lpips",
    "load_pose_estimator",
    "safe_load",
]
