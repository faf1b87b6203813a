"""Digests of arrays."""

import hashlib

import numpy as np


def digest(*arrays: np.ndarray) -> str:
    """sha256 of the shapes, types and bytes of arrays.

    In slices, so that a memory-mapped array is never in memory as a whole.
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype}".encode())
        for start in range(0, len(array), 4096):
            sha.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return sha.hexdigest()
