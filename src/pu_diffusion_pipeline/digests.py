"""Digests of arrays, files and folders."""

import hashlib
from pathlib import Path

import numpy as np

BLOCK = 1 << 20  # bytes read at once


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


def digest_of_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sha.update(block)
    return sha.hexdigest()


def digest_of_path(path: Path) -> str:
    """sha256 of a file, or of the names and contents of all files in a folder."""
    if not path.is_dir():
        return digest_of_file(path)
    sha = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        sha.update(f"{file.relative_to(path).as_posix()} {digest_of_file(file)}\n".encode())
    return sha.hexdigest()
