"""The split of a data set into U, S, test and judge images (paper, Sec. 5.1 and Table 1)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.seeding import numpy_generator

FIXED = 0  # groups that evaluation rests on are the same for every seed of the run


class Split(NamedTuple):
    """Positions in the source, (n,) int64 each.

    All are disjoint but for `judge`, which holds U, S and N too.

    Attributes:
        unlabeled: U, normal and sensitive images in random order.
        labeled_sensitive: S.
        labeled_normal: N, for PNU.
        test: normal images for the distances and for the judge's accuracy.
        heldout: sensitive images for the judge's accuracy.
        judge: every image that is not in test or heldout, or a random part of them: the judge
            trains on them with true labels.
    """

    unlabeled: np.ndarray
    labeled_sensitive: np.ndarray
    labeled_normal: np.ndarray
    test: np.ndarray
    heldout: np.ndarray
    judge: np.ndarray


def is_sensitive(classes: np.ndarray, normal_classes: tuple[int, ...]) -> np.ndarray:
    """(N,) bool: whether a class is not among the normal ones."""
    return ~np.isin(classes, normal_classes)


def split_images(
    classes: np.ndarray,
    is_test: np.ndarray,
    normal_classes: tuple[int, ...],
    counts: Mapping[str, int | None],
    seed: int,
    judge_split: str = "clean",
) -> Split:
    """Draw the groups. Only U, S and N depend on `seed`.

    Where the data set has a test partition, test and held-out images are the first ones of it;
    else they are drawn.

    Args:
        classes: (N,) class of each source image.
        is_test: (N,) bool, the source's own test partition.
        normal_classes: classes that are normal; all others are sensitive.
        counts: images per group: `unlabeled_normal`, `unlabeled_sensitive`, `labeled_sensitive`,
            `labeled_normal`, `test`, `heldout_sensitive` and `judge` (None: all).
        seed: seed of U, S and N.
        judge_split: `clean`: the judge trains on `counts["judge"]` images that are neither test nor
            held-out ones; `paper`: on all of the source's training partition, which without a test
            partition is every image.

    Raises:
        InvalidInput: a count is above what exists.
    """
    _check_normal_classes(classes, normal_classes)
    sensitive = is_sensitive(classes, normal_classes)
    test = _held_out(is_test, ~sensitive, counts, "test")
    heldout = _held_out(is_test, sensitive, counts, "heldout_sensitive")
    trainable = ~is_test
    trainable[np.concatenate([test, heldout])] = False

    rng = numpy_generator(seed, "split")
    normal, labeled_normal = _draw_two(
        rng, trainable & ~sensitive, counts, "unlabeled_normal", "labeled_normal"
    )
    labeled, hidden = _draw_two(
        rng, trainable & sensitive, counts, "labeled_sensitive", "unlabeled_sensitive"
    )
    unlabeled = rng.permutation(np.concatenate([normal, hidden]))
    if judge_split == "paper":
        judge = np.flatnonzero(~is_test)
    else:
        rng = numpy_generator(FIXED, "judge")
        judge = _draw(rng, trainable, counts["judge"], "judge")
    return Split(unlabeled, labeled, labeled_normal, test, heldout, judge)


def _check_normal_classes(classes: np.ndarray, normal_classes: tuple[int, ...]) -> None:
    missing = set(normal_classes) - set(np.unique(classes).tolist())
    if missing:
        raise InvalidInput(f"normal_classes: no image of class {sorted(missing)} in this source")


def _held_out(
    is_test: np.ndarray, kind: np.ndarray, counts: Mapping[str, int | None], group: str
) -> np.ndarray:
    count = counts[group] or 0
    if is_test.any():
        available = np.flatnonzero(is_test & kind)
        if count > len(available):
            raise InvalidInput(
                f"counts: {group} asks for {count} images, but the test partition has "
                f"{len(available)}"
            )
        return available[:count]
    return _draw(numpy_generator(FIXED, f"data.counts.{group}"), kind, count, group)


def _draw_two(
    rng: np.random.Generator,
    allowed: np.ndarray,
    counts: Mapping[str, int | None],
    first: str,
    second: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two groups of the same kind of images at once."""
    size = counts[first] or 0
    total = size + (counts[second] or 0)
    names = " + ".join(name for name in (first, second) if counts[name])
    drawn = _draw(rng, allowed, total, names)
    return drawn[:size], drawn[size:]


def _draw(
    rng: np.random.Generator, allowed: np.ndarray, count: int | None, name: str
) -> np.ndarray:
    available = np.flatnonzero(allowed)
    count = len(available) if count is None else count
    if count > len(available):
        raise InvalidInput(
            f"counts: {name} asks for {count} images, but only {len(available)} are left for it"
        )
    return rng.permutation(available)[:count]
