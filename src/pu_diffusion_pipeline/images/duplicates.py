"""Images that stand twice in a folder: the same bytes, or nearly the same picture."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

NUM_BITS = 64
MOST_BITS = 4
MOST_PAIRS = 1_000_000
ONES = np.array([value.bit_count() for value in range(1 << 16)], dtype=np.uint8)


class NearDuplicates(NamedTuple):
    """Pairs of images whose difference hashes are close.

    Attributes:
        pairs: columns i, j (rows of the hashes, i < j) and distance (bits), sorted.
        num_pairs: how many there are; more than are in `pairs` if those were too many to list. If
            there are too many different hashes close to one another, at least how many.
    """

    pairs: pd.DataFrame
    num_pairs: int


def near_duplicates(
    hashes: np.ndarray, most_bits: int = MOST_BITS, most_pairs: int = MOST_PAIRS
) -> NearDuplicates:
    """Find all pairs of hashes that differ in at most `most_bits` bits.

    The search is exact. The 64 bits are cut into `most_bits` + 1 bands: two hashes that differ in
    at most `most_bits` bits agree in at least one of them (Manku et al. 2007). Only hashes that
    agree in a band are compared. Memory grows with the number of hashes and of listed pairs; time
    is at worst that of comparing all different hashes with one another, in each band.

    Many images with one hash, such as flat ones, make a great many pairs that say little. If there
    are more than `most_pairs`, those of the largest groups of equal hashes are left out first.

    Args:
        hashes: (N,) uint64.
        most_bits: largest distance.
        most_pairs: largest number of pairs that are listed.
    """
    different, group, sizes = np.unique(
        np.asarray(hashes, dtype=np.uint64), return_inverse=True, return_counts=True
    )
    found = np.concatenate([_equal(sizes), *_close(different, most_bits, most_pairs)])
    first, second, _ = found.T
    counts = np.where(
        first == second, sizes[first] * (sizes[first] - 1) // 2, sizes[first] * sizes[second]
    )
    order = np.argsort(counts, kind="stable")
    num_listed = int(np.searchsorted(np.cumsum(counts[order]), most_pairs, side="right"))
    return NearDuplicates(_listed(found[order[:num_listed]], group, sizes), int(counts.sum()))


def _equal(sizes: np.ndarray) -> np.ndarray:
    """(K, 3) the groups of more than one image, each with itself, at distance 0."""
    groups = np.flatnonzero(sizes > 1)
    return np.stack([groups, groups, np.zeros_like(groups)], axis=1)


def _close(hashes: np.ndarray, most_bits: int, most_pairs: int) -> Iterator[np.ndarray]:
    """(K, 3) blocks of first, second, distance of different hashes that are close; then stop."""
    num_found = 0
    earlier: list[np.uint64] = []
    for mask in _bands(most_bits + 1):
        for first, second in _agreeing(hashes & mask):
            differing = hashes[first] ^ hashes[second]
            distance = _count_ones(differing)
            is_new = distance <= most_bits
            for other in earlier:  # a pair is taken in the first band in which it agrees
                is_new &= (differing & other) != 0
            found = [first[is_new], second[is_new], distance[is_new]]
            yield np.stack(found, axis=1).astype(np.int64)
            num_found += int(is_new.sum())
            if num_found > most_pairs:
                return
        earlier.append(mask)


def _bands(count: int) -> list[np.uint64]:
    """Masks that cut the bits into bands of nearly equal width."""
    edges = [NUM_BITS * band // count for band in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]


def _agreeing(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows with equal keys, in blocks of at most N: first, second."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    rows = np.arange(len(keys))
    for offset in range(1, len(keys)):
        rows = rows[: np.searchsorted(rows, len(keys) - offset)]
        rows = rows[ordered[rows] == ordered[rows + offset]]
        if len(rows) == 0:
            return
        yield order[rows], order[rows + offset]


def _count_ones(values: np.ndarray) -> np.ndarray:
    words = values.view(np.uint16).reshape(-1, NUM_BITS // 16).T
    return ONES[words[0]] + ONES[words[1]] + ONES[words[2]] + ONES[words[3]]


def _listed(found: np.ndarray, group: np.ndarray, sizes: np.ndarray) -> pd.DataFrame:
    """The pairs of images of pairs of groups (K, 3)."""
    members = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    first, second, distance = found.T
    counts = sizes[first] * sizes[second]
    pair = np.repeat(np.arange(len(found)), counts)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    i = members[starts[first[pair]] + within // sizes[second[pair]]]
    j = members[starts[second[pair]] + within % sizes[second[pair]]]
    once = (i < j) | (first[pair] != second[pair])
    columns = {"i": np.minimum(i, j), "j": np.maximum(i, j), "distance": distance[pair]}
    return pd.DataFrame(columns)[once].sort_values(["i", "j"], ignore_index=True)
