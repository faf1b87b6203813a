"""The search for near duplicates finds exactly the close pairs, whatever the hashes are."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_folders import digit
from pu_diffusion_pipeline.images.decoding import difference_hash
from pu_diffusion_pipeline.images.duplicates import near_duplicates


def close_pairs(hashes: list[int], most_bits: int) -> list[tuple[int, int, int]]:
    """Every pair compared with every other."""
    pairs = [
        (i, j, (hashes[i] ^ hashes[j]).bit_count())
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
    ]
    return [pair for pair in pairs if pair[2] <= most_bits]


def found(hashes: list[int], most_bits: int) -> list[tuple[int, int, int]]:
    result = near_duplicates(np.array(hashes, dtype=np.uint64), most_bits)
    pairs = [tuple(map(int, pair)) for pair in result.pairs.to_numpy()]
    assert result.num_pairs == len(pairs)
    return pairs


sparse = st.sets(st.integers(0, 63), max_size=4).map(lambda bits: sum(1 << bit for bit in bits))
hashes = st.lists(st.one_of(sparse, sparse.map(lambda value: value ^ (2**64 - 1))), max_size=40)


@given(hashes, st.sampled_from([0, 1, 4, 6, 64]))
@settings(max_examples=60, deadline=None)
def test_the_pairs_are_those_of_a_comparison_of_all(hashes, most_bits):
    assert found(hashes, most_bits) == close_pairs(hashes, most_bits)


def test_the_pairs_of_digits_and_their_shifted_copies_are_found():
    rng = np.random.default_rng(0)
    pictures = [digit(number, (64, 64)) for number in rng.integers(0, 5000, 150)]
    pictures += [picture.resize((60, 60)) for picture in pictures]
    values = [difference_hash(picture) for picture in pictures]
    expected = close_pairs(values, 4)
    assert sum(j == i + 150 for i, j, _ in expected) > 30
    assert found(values, 4) == expected


@pytest.mark.parametrize("values", [[], [5]])
def test_of_less_than_two_images_there_are_no_pairs(values):
    assert found(values, 4) == []


def test_many_flat_images_are_counted_and_do_not_hide_other_pairs():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, 15_000, dtype=np.uint64)
    values[::3] = 0
    values[4], values[7] = values[1], values[1] ^ np.uint64(0b101)
    pairs, num_pairs = near_duplicates(values, most_pairs=100_000)
    assert num_pairs == 5_000 * 4_999 // 2 + 3
    assert pairs.to_numpy().tolist() == [[1, 4, 0], [1, 7, 2], [4, 7, 2]]


def test_a_small_group_of_flat_images_is_listed():
    assert len(near_duplicates(np.zeros(100, dtype=np.uint64)).pairs) == 4950


def test_many_different_hashes_close_to_one_another_end_the_search_early():
    bits = np.random.default_rng(0).integers(0, 64, (20_000, 2), dtype=np.uint64)
    values = np.bitwise_or.reduce(np.uint64(1) << bits, axis=1)
    begun = time.process_time()
    pairs, num_pairs = near_duplicates(values, most_pairs=10_000)
    assert len(pairs) <= 10_000 < num_pairs
    assert time.process_time() - begun < 10


def test_a_search_among_many_ordinary_hashes_is_fast():
    values = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    values[10_000:] = values[:10_000] ^ np.uint64(1 << 40 | 1)
    begun = time.process_time()
    pairs, _ = near_duplicates(values)
    assert time.process_time() - begun < 10
    assert len(pairs) == 10_000
    assert (pairs["j"] - pairs["i"] == 10_000).all()
