"""Networks that measure how alike two pictures look."""

from vec2face.models.perceptual.lpips import Lpips

__all__ = ["Lpips"]
