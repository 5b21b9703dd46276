"""Classification heads with margins: what a face recogniser is trained with, and leaves behind when it is done."""

from vec2face.models.heads.adaface import AdaFace
from vec2face.models.heads.arcface import ArcFace
from vec2face.models.heads.base import MarginHead, cosines
from vec2face.models.heads.cosface import CosFace
from vec2face.models.heads.curricularface import CurricularFace
from vec2face.models.heads.magface import MagFace

__all__ = ["AdaFace", "ArcFace", "CosFace", "CurricularFace", "MagFace", "MarginHead", "cosines"]
