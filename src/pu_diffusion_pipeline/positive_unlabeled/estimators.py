"""Estimators of beta on one-dimensional scores of S and U (two samples).

Each returns kappa = inf f_U / f_S or an approximation: beta if irreducible, more otherwise.
q_S(c), q_U(c) are the shares of S and U with a score of at least c, and
r(c) = q_U(c) / q_S(c) >= beta for every c.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled.kernel_estimators import (
    kernel_mean_embedding,
    penalized_l1,
)
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, dkw_width, ratio_curve

LARGEST = 0.95


def bbe_ratio(scores: Scores, delta: float = 0.1) -> float:
    """r at the threshold of the smallest bound.

    Garg et al. 2021 (Lemma 1); Blanchard et al. 2010 with DKW in place of VC.
    """
    return ratio_curve(scores).best(delta)[0]


def bbe(scores: Scores, delta: float = 0.1, gamma: float = 0.01) -> float:
    """Best bin estimation as published (Garg et al. 2021).

    c^ = argmin r(c) + (1 + gamma)(e_S + e_U) / q_S(c).
    """
    curve = ratio_curve(scores)
    widths = dkw_width(curve.num_labeled, delta) + dkw_width(curve.num_unlabeled, delta)
    return float(curve.ratio[np.argmin(curve.ratio + (1 + gamma) * widths / curve.share_labeled)])


def drpu(scores: Scores) -> float:
    """min of r(c) over q_S(c) > eps (Nakajima & Sugiyama 2023).

    nan if S is too small for any such c.
    """
    curve = ratio_curve(scores)
    count = curve.num_labeled
    floor = np.sqrt(4 * np.log(np.e * count / 2) / count) + np.sqrt(np.log(2 * count) / (2 * count))
    usable = curve.share_labeled > floor
    return float(curve.ratio[usable].min()) if usable.any() else float("nan")


def dedpul(scores: Scores) -> float:
    """Density ratio by kernel estimates, then EM for the share (in the manner of Ivanov 2020).

    Differs from the published script in two ways. The kernel estimates are binned, so that a
    million scores take a second. A moving median over a hundredth of U, followed by a monotone
    (isotonic) fit, replaces its chain of moving medians.
    """
    ratio = _density_ratio_on_unlabeled(scores)
    share = _share_by_em(ratio)
    return share if share > 1e-3 else _share_at_elbow(ratio)


def _density_ratio_on_unlabeled(scores: Scores) -> np.ndarray:
    """(min(2000, N),) f_S / f_U on groups of U's scores in ascending order, smooth and monotone."""
    from scipy.ndimage import median_filter
    from sklearn.isotonic import IsotonicRegression

    pooled = np.concatenate([scores.labeled_sensitive, scores.unlabeled])
    grid = np.linspace(pooled.min(), pooled.max(), 4001)
    density_labeled = _binned_density(scores.labeled_sensitive, grid, 0.1)
    density_unlabeled = _binned_density(scores.unlabeled, grid, 0.05)
    ratio = np.clip(density_labeled / np.maximum(density_unlabeled, 1e-12), 0, 50)
    at_scores = np.interp(np.sort(scores.unlabeled), grid, ratio)
    groups = np.array_split(at_scores, min(2_000, len(at_scores)))
    means = [group.mean() for group in groups]
    smooth = median_filter(means, max(3, len(groups) // 100), mode="reflect")
    monotone = IsotonicRegression().fit_transform(np.arange(len(smooth)), smooth)
    # f_S integrates to 1. Without this, EM would run to zero.
    return monotone / max(float(monotone.mean()), 1e-12)


def _share_by_em(ratio: np.ndarray) -> float:
    share = 1.0
    for _ in range(10_000):
        updated = float(np.minimum(1.0, share * ratio).mean())
        if abs(updated - share) < 1e-5:
            break
        share = updated
    return share


def _share_at_elbow(ratio: np.ndarray) -> float:
    """The elbow of share - E-step(share) where it is still small, for when EM runs to zero."""
    shares = np.arange(0.001, LARGEST, 0.001)
    left = np.array([share - np.minimum(1.0, share * ratio).mean() for share in shares])
    curvature = np.where(left[1:-1] < 0.05, np.diff(left, 2), -np.inf)
    return float(shares[1 + int(np.argmax(curvature))])


def _binned_density(values: np.ndarray, grid: np.ndarray, bandwidth: float) -> np.ndarray:
    """Gaussian kernel density on an even grid.

    The bandwidth is in standard deviations of the values.
    """
    from scipy.ndimage import gaussian_filter1d

    step = grid[1] - grid[0]
    if step == 0:
        return np.ones(len(grid))
    bins = np.rint((values - grid[0]) / step).astype(int)
    counts = np.bincount(bins, minlength=len(grid)).astype(float)
    width = max(bandwidth * float(values.std()) / step, 1.0)
    return gaussian_filter1d(counts, width, mode="constant") / (len(values) * step)


def km1(scores: Scores) -> float:
    """Kernel mean embedding, KM1 (Ramaswamy et al. 2016), on the scores."""
    return kernel_mean_embedding(scores)[0]


def km2(scores: Scores) -> float:
    """Kernel mean embedding, KM2 (Ramaswamy et al. 2016), on the scores."""
    return kernel_mean_embedding(scores)[1]


def menon(scores: Scores) -> float:
    """(1 - eta) / eta at the largest eta = P(S | x) (Menon et al. 2015, equal class weights).

    A baseline: it rests on the one largest value of eta, which is not perfectly calibrated.
    """
    logit = max(scores.labeled_sensitive.max(), scores.unlabeled.max())
    return float(np.exp(-np.clip(logit, -700, 700)))


def alphamax(scores: Scores, num_bins: int = 50, step: float = 0.0025) -> float:
    """Elbow of the log-likelihood over the share (after Jain et al. 2016).

    For each share alpha it finds, bin by bin, the best split of U's histogram u into
    alpha f_S + (1 - alpha) h0, with h1 as a model of S. The likelihood is flat below kappa and
    falls above it. A baseline: the elbow is unstable.
    """
    pooled = np.concatenate([scores.labeled_sensitive, scores.unlabeled])
    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, num_bins + 1)))
    if len(edges) < 3:
        return float("nan")
    in_labeled = np.histogram(scores.labeled_sensitive, edges)[0] / len(scores.labeled_sensitive)
    in_unlabeled = np.histogram(scores.unlabeled, edges)[0] / len(scores.unlabeled)
    shares = np.arange(step, 0.99, step)
    heights = _best_likelihoods(shares, in_labeled, in_unlabeled)
    window = 10
    bends = [
        _slope(shares, heights, at - window, at) - _slope(shares, heights, at, at + window)
        for at in range(window, len(shares) - window)
    ]
    return float(shares[window + int(np.argmax(bends))])


def _best_likelihoods(shares: np.ndarray, labeled: np.ndarray, unlabeled: np.ndarray) -> np.ndarray:
    """The maximum of sum u log(share s + (1 - b) u) + sum s log(b u / share), for each share.

    It is taken over b in [0, 1] with sum b u = share; s and u are the histograms of S and U.
    """
    s = labeled[unlabeled > 0]
    u = unlabeled[unlabeled > 0]
    share = shares[:, None]
    total = share * s + u

    def part(multiplier: np.ndarray) -> np.ndarray:
        # The derivative in b is 0:
        # multiplier u^2 b^2 - (multiplier u total + s u + u^2) b + s total = 0.
        linear = multiplier * u * total + s * u + u**2
        root = linear**2 - 4 * multiplier * u**2 * s * total
        smaller = 2 * s * total / np.maximum(linear + np.sqrt(np.maximum(root, 0)), 1e-300)
        return np.clip(smaller, 1e-12, 1.0)

    low = np.full_like(share, -1.0)
    high = np.full_like(share, 1e6)
    for _ in range(80):  # sum b u falls as the multiplier grows
        middle = (low + high) / 2
        is_above = (part(middle) * u).sum(axis=1, keepdims=True) > share
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    b = part(high)
    of_unlabeled = (u * np.log(share * s + (1 - b) * u + 1e-12)).sum(axis=1)
    return of_unlabeled + (s * np.log(b * u / share)).sum(axis=1)


def _slope(x: np.ndarray, y: np.ndarray, start: int, stop: int) -> float:
    return float(np.polyfit(x[start : stop + 1], y[start : stop + 1], 1)[0])


def pulearn_histogram(scores: Scores) -> float:
    """pulearn's HistogramMatch on the scores as probabilities.

    Its result for the pooled sample is converted to U.

    nan if pulearn is not installed (`pip install 'pu_diffusion_pipeline[priors]'`).
    """
    try:
        from pulearn.priors import HistogramMatchPriorEstimator
    except ImportError:
        return float("nan")
    num_labeled = len(scores.labeled_sensitive)
    num_unlabeled = len(scores.unlabeled)
    values = np.concatenate([scores.labeled_sensitive, scores.unlabeled])
    labels = np.concatenate([np.ones(num_labeled), np.zeros(num_unlabeled)])
    estimator = HistogramMatchPriorEstimator(estimator=_Identity())
    result = estimator.fit(1 / (1 + np.exp(-values[:, None])), labels).result_
    return beta_of_pooled_prior(float(result.pi), num_labeled, num_unlabeled)


class _Identity:
    """A classifier whose only feature is the probability itself."""

    classes_ = np.array([0, 1])

    def fit(self, features: np.ndarray, labels: np.ndarray) -> "_Identity":
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - features[:, 0], features[:, 0]])

    def get_params(self, deep: bool = True) -> dict[str, object]:
        return {}

    def set_params(self, **parameters: object) -> "_Identity":
        return self


def beta_of_pooled_prior(pooled: float, num_labeled: int, num_unlabeled: int) -> float:
    """Share in U from the share pi in S and U together, which single-sample methods give.

    pi = (M + beta N) / (M + N).
    """
    return (pooled * (num_labeled + num_unlabeled) - num_labeled) / num_unlabeled


def pooled_prior_of_beta(beta: float, num_labeled: int, num_unlabeled: int) -> float:
    """The inverse of `beta_of_pooled_prior`."""
    return (num_labeled + beta * num_unlabeled) / (num_labeled + num_unlabeled)


class Estimator(NamedTuple):
    """An estimator for the table of methods.

    Attributes:
        estimate: scores to a share.
        source: where it is from.
        is_baseline: shown for comparison only; not counted where methods are said to disagree.
        by_rank: whether only the order of the scores matters.
        uses_delta: whether it takes delta, the bound's probability of failing.
    """

    estimate: Callable[..., float]
    source: str
    is_baseline: bool = False
    by_rank: bool = False
    uses_delta: bool = False


ESTIMATORS: dict[str, Estimator] = {
    "bbe_ratio": Estimator(
        bbe_ratio, "Garg et al. 2021, with the ratio bound", by_rank=True, uses_delta=True
    ),
    "bbe": Estimator(bbe, "Garg et al. 2021", by_rank=True, uses_delta=True),
    "drpu": Estimator(drpu, "Nakajima & Sugiyama 2023", by_rank=True),
    "dedpul": Estimator(dedpul, "after Ivanov 2020"),
    "km1": Estimator(km1, "Ramaswamy et al. 2016"),
    "km2": Estimator(km2, "Ramaswamy et al. 2016"),
    "penl1": Estimator(penalized_l1, "Christoffel et al. 2016"),
    "alphamax": Estimator(alphamax, "after Jain et al. 2016", is_baseline=True),
    "menon": Estimator(menon, "Menon et al. 2015", is_baseline=True),
    "pulearn_histogram": Estimator(pulearn_histogram, "pulearn, converted to U", is_baseline=True),
}


def estimate_with_all(scores: Scores, delta: float = 0.1) -> dict[str, float]:
    """Every estimator's value, clipped to [0, 0.95]; nan where it has none.

    Args:
        scores: of S and U.
        delta: of the estimators that rest on a bound.
    """
    values = {}
    for name, estimator in ESTIMATORS.items():
        arguments = (scores, delta) if estimator.uses_delta else (scores,)
        values[name] = float(np.clip(estimator.estimate(*arguments), 0.0, LARGEST))
    return values
