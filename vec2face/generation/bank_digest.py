"""The digest of an identity bank's content, whatever file it came from. No torch here."""

import hashlib

from vec2face.fileio.atomic import canonical_json
from vec2face.identities.bank import IdentityBank


def content_digest(bank: IdentityBank) -> str:
    """Return the SHA-256 of ids and vectors (little-endian float32), hexadecimal; provenance plays no part."""
    digest = hashlib.sha256(canonical_json([list(bank.ids), list(bank.vectors.shape)]))
    digest.update(bank.vectors.astype("<f4", copy=False).data.cast("B"))
    return digest.hexdigest()
