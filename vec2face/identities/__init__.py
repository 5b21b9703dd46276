"""Identity vectors: where they come from, how they are kept apart, how they vary."""

from vec2face.identities.bank import IdentityBank
from vec2face.identities.sampling import sample

__all__ = ["IdentityBank", "sample"]
