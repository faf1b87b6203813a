"""The ratio r(c) = q_U(c) / q_S(c) of the shares of U and S with a score of at least c.

For every score and every c: r(c) = beta + (1 - beta) q_N(c) / q_S(c) >= beta. So its smallest
value is an upper bound. It equals beta if some threshold has no normal image above it: then beta
is called irreducible.
"""

from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """Out-of-fold scores, larger for images that look more like S.

    Attributes:
        labeled_sensitive: (M,) float64.
        unlabeled: (N,) float64.
    """

    labeled_sensitive: np.ndarray
    unlabeled: np.ndarray


class RatioCurve(NamedTuple):
    """r(c) at every score of S, from the lowest to the highest.

    Attributes:
        threshold: c.
        above_labeled: images of S with a score of at least c.
        above_unlabeled: images of U.
        num_labeled: images of S in all.
        num_unlabeled: images of U in all.
    """

    threshold: np.ndarray
    above_labeled: np.ndarray
    above_unlabeled: np.ndarray
    num_labeled: int
    num_unlabeled: int

    @property
    def share_labeled(self) -> np.ndarray:
        """q_S(c)."""
        return self.above_labeled / self.num_labeled

    @property
    def share_unlabeled(self) -> np.ndarray:
        """q_U(c)."""
        return self.above_unlabeled / self.num_unlabeled

    @property
    def ratio(self) -> np.ndarray:
        """r(c)."""
        return self.share_unlabeled / self.share_labeled

    def bound(self, delta: float) -> np.ndarray:
        """(q_U + e_U) / (q_S - e_S) with DKW widths e; infinite where e_S >= q_S.

        beta is below it with probability 1 - delta.
        """
        width_labeled = dkw_width(self.num_labeled, delta)
        width_unlabeled = dkw_width(self.num_unlabeled, delta)
        bound = np.full(len(self.threshold), np.inf)
        usable = self.share_labeled > width_labeled
        bound[usable] = (self.share_unlabeled[usable] + width_unlabeled) / (
            self.share_labeled[usable] - width_labeled
        )
        return bound

    def best(self, delta: float) -> tuple[float, float, int]:
        """r at the threshold of the smallest bound (BBE-ratio), that bound, and its place."""
        bound = self.bound(delta)
        place = int(np.argmin(bound))
        return float(self.ratio[place]), float(bound[place]), place


def ratio_curve(scores: Scores) -> RatioCurve:
    """The curve at the scores of S.

    Between two of them only q_U changes, and it is smallest at the next score of S.
    """
    labeled = np.sort(scores.labeled_sensitive)
    unlabeled = np.sort(scores.unlabeled)
    return RatioCurve(
        threshold=labeled,
        above_labeled=len(labeled) - np.searchsorted(labeled, labeled, side="left"),
        above_unlabeled=len(unlabeled) - np.searchsorted(unlabeled, labeled, side="left"),
        num_labeled=len(labeled),
        num_unlabeled=len(unlabeled),
    )


def dkw_width(count: int, delta: float) -> float:
    """Half-width of the Dvoretzky-Kiefer-Wolfowitz band.

    It holds for two samples at once with probability 1 - delta.
    """
    return float(np.sqrt(np.log(4 / delta) / (2 * count)))


def resampled_estimates(
    scores: Scores, delta: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(count,) BBE-ratio on bootstrap samples of S and of U, drawn separately, without refits.

    Ties among the scores of S are rare and are taken as distinct here.
    """
    curve = ratio_curve(scores)
    size = curve.num_labeled
    # Images of U between two thresholds are all alike: a multinomial draw of their counts is a
    # sample of U.
    between = -np.diff(np.concatenate([[curve.num_unlabeled], curve.above_unlabeled, [0]]))
    results = np.empty(count)
    for number in range(count):
        labeled = rng.multinomial(size, np.full(size, 1 / size))
        unlabeled = rng.multinomial(curve.num_unlabeled, between / curve.num_unlabeled)
        above_labeled = labeled[::-1].cumsum()[::-1]
        above_unlabeled = unlabeled[::-1].cumsum()[::-1][1:]
        drawn = above_labeled > 0
        sample = RatioCurve(
            curve.threshold[drawn],
            above_labeled[drawn],
            above_unlabeled[drawn],
            size,
            curve.num_unlabeled,
        )
        results[number] = sample.best(delta)[0]
    return results
