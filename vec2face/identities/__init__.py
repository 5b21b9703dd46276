"""Identity vectors: where they come from, how they are kept apart, how they vary."""

from vec2face.identities.bank import IdentityBank
from vec2face.identities.drawing import draw_apart
from vec2face.identities.packing import pack
from vec2face.identities.sampling import sample

__all__ = ["IdentityBank", "draw_apart", "pack", "sample"]
