"""Seeds for independent random streams, derived from the run's one seed.

Each use names its stream, so step 1,000 of a training draws the same noise whether or not the run
was interrupted before. No global random state is touched.
"""

import zlib

import numpy as np


def derive_seed(seed: int, *stream: str | int) -> int:
    """Mix `seed` and a stream's name into 32 bits; torch's CPU generator reads no more."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in stream]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1)[0])


def numpy_generator(seed: int, *stream: str | int) -> np.random.Generator:
    """A numpy generator for the named stream."""
    return np.random.default_rng(derive_seed(seed, *stream))
