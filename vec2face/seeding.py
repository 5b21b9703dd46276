"""Randomness keyed by sample: what an image looks like depends on its key alone.

A seed is a hash of (run seed, stage, identity, image), so neither batch size nor worker count nor the order of work can
change a sample, and two stages never share a stream.
"""

import hashlib
import struct

import numpy as np


def seed_for(run_seed: int, stage: str, identity: int = 0, image: int = 0) -> int:
    """Return the 64-bit seed of one sample.

    Args:
        run_seed: the run's seed, any integer that fits 64 signed bits.
        stage: what the random numbers are for, such as "variation" or "mask-noise".
        identity: index of the identity, 0 or more.
        image: index of the image within its identity, 0 or more.
    """
    key = struct.pack("<qqq", run_seed, identity, image) + stage.encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def rng_for(run_seed: int, stage: str, identity: int = 0, image: int = 0) -> np.random.Generator:
    """Return a NumPy generator (Philox, a counter-based stream) for one sample; see `seed_for`."""
    return np.random.Generator(np.random.Philox(key=seed_for(run_seed, stage, identity, image)))
