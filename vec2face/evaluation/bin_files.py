"""Write verification sets in insightface's `.bin` format."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

from vec2face.evaluation.pair_lists import NamedPair
from vec2face.fileio.atomic import write_bytes

# Read by every Python 3 that insightface's code runs on.
_PROTOCOL = 4


def write_bin(path: Path, pairs: Sequence[NamedPair], images: Mapping[str, bytes]) -> None:
    """Write a pickle of (list of encoded images, list of booleans), two images for each pair, in order.

    The images' bytes are written as they are; one that occurs in several pairs is stored once. Equal pairs and images
    give equal files.

    Args:
        images: every image that the pairs name, by name.

    Raises:
        StorageError: the file cannot be written.
    """
    encoded = [images[name] for pair in pairs for name in (pair.first, pair.second)]
    write_bytes(path, pickle.dumps((encoded, [pair.same for pair in pairs]), protocol=_PROTOCOL))
