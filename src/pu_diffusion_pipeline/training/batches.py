"""Which images of U and S make the batch of a step.

It depends on the seed and the step alone, so resuming needs no state.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from pu_diffusion_pipeline.seeding import numpy_generator

LABELED_NORMAL_SHARE = 8  # labeled normal images come on top of the batch, an eighth of its size


class Batch(NamedTuple):
    """Rows of U, of S and of the labeled normal images, int64 each, as in `labels.SETS`."""

    unlabeled: np.ndarray
    labeled_sensitive: np.ndarray
    labeled_normal: np.ndarray

    def rows_for(self, sets: Collection[str]) -> list[np.ndarray]:
        """The rows of every set; no rows of a set that is not named."""
        return [rows if name in sets else rows[:0] for name, rows in zip(SETS, self, strict=True)]


class Batches(Protocol):
    """The batches of a training."""

    def for_step(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        ...


def select_rows(arrays: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The rows of every array; memory-mapped ones are read here."""
    return [array[places] for array, places in zip(arrays, rows, strict=True)]


class ShuffledEpochs:
    """Endless passes over `size` rows, each in a new random order, readable from any position."""

    def __init__(self, size: int, seed: int, name: str) -> None:
        self._size = size
        self._seed = seed
        self._name = name
        self._orders: dict[int, np.ndarray] = {}

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            recent = {one: order for one, order in self._orders.items() if one >= epoch - 1}
            generator = numpy_generator(self._seed, "batches", self._name, epoch)
            self._orders = {**recent, epoch: generator.permutation(self._size)}
        return self._orders[epoch]

    def rows(self, start: int, count: int) -> np.ndarray:
        """Rows `start` to `start + count` of the endless sequence."""
        places = np.arange(start, start + count)
        epochs, offsets = np.divmod(places, self._size)
        result = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            result[here] = self._order(int(epoch))[offsets[here]]
        return result


class StratifiedBatches:
    """Fixed quotas from U and S in each batch: a share M / (M + N) of it from S, at least 1."""

    def __init__(
        self, num_unlabeled: int, num_labeled: int, num_normal: int, batch_size: int, seed: int
    ) -> None:
        share = num_labeled / (num_labeled + num_unlabeled)
        quota = min(max(1, round(batch_size * share)), batch_size - 1)
        self._labeled_quota = quota if num_labeled else 0
        self._unlabeled_quota = batch_size - self._labeled_quota
        self._unlabeled = ShuffledEpochs(num_unlabeled, seed, "unlabeled")
        self._labeled = ShuffledEpochs(num_labeled, seed, "labeled_sensitive")
        self._normal = LabeledNormal(num_normal, batch_size, seed)

    def for_step(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        return Batch(
            self._unlabeled.rows(step * self._unlabeled_quota, self._unlabeled_quota),
            self._labeled.rows(step * self._labeled_quota, self._labeled_quota),
            self._normal.for_step(step),
        )


class MixedBatches:
    """Batches from the shuffled union of U and S, as in the paper; one may hold no image of S."""

    def __init__(
        self, num_unlabeled: int, num_labeled: int, num_normal: int, batch_size: int, seed: int
    ) -> None:
        self._num_unlabeled = num_unlabeled
        self._batch_size = batch_size
        self._normal = LabeledNormal(num_normal, batch_size, seed)
        self._union = ShuffledEpochs(num_unlabeled + num_labeled, seed, "union")

    def for_step(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        rows = self._union.rows(step * self._batch_size, self._batch_size)
        from_labeled = rows >= self._num_unlabeled
        return Batch(
            rows[~from_labeled],
            rows[from_labeled] - self._num_unlabeled,
            self._normal.for_step(step),
        )


class LabeledNormal:
    """Labeled normal images of a step.

    They come on top: U's and S's parts of the batch stay those of every other method.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self._quota = max(1, batch_size // LABELED_NORMAL_SHARE) if size else 0
        self._epochs = ShuffledEpochs(size, seed, "labeled_normal")

    def for_step(self, step: int) -> np.ndarray:
        """Rows of the step, int64."""
        return self._epochs.rows(step * self._quota, self._quota)


def build_batches(
    kind: str, num_unlabeled: int, num_labeled: int, batch_size: int, seed: int, num_normal: int = 0
) -> Batches:
    """Batches of the given kind.

    Args:
        kind: `stratified` or `mixed`.
        num_unlabeled: images in U.
        num_labeled: images in S.
        batch_size: images of U and S together.
        seed: the run's seed.
        num_normal: labeled normal images, if the method uses them.
    """
    kinds: dict[str, type[StratifiedBatches | MixedBatches]] = {
        "stratified": StratifiedBatches,
        "mixed": MixedBatches,
    }
    return kinds[kind](num_unlabeled, num_labeled, num_normal, batch_size, seed)


def length_in_steps(
    num_steps: int | None, num_epochs: int | None, num_images: int, batch_size: int
) -> int:
    """Steps of a training whose length is given in steps or in epochs over `num_images`."""
    if num_steps is not None:
        return num_steps
    assert num_epochs is not None
    return num_epochs * -(-num_images // batch_size)
