"""Estimators of beta that match kernel means or densities, on one-dimensional scores: KM1, KM2 and penL1."""

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.seeding import numpy_generator

MOST_UNLABELED, MOST_LABELED = 300, 200  # scores that the quadratic programs of KM1 and KM2 are set up with
MOST_SCORES = 5_000  # of S and of U that penL1 looks at
LARGEST_LAMBDA = 20.0  # beta = (lambda - 1) / lambda, so 0.95
RESOLUTION = 0.005  # of lambda


def kernel_mean_embedding(scores: Scores) -> tuple[float, float]:
    """KM1 and KM2 (Ramaswamy et al. 2016) with a Gaussian kernel on standardised scores.

    d(lambda) is the distance from lambda phi(U) + (1 - lambda) phi(S) to the convex hull of the points' embeddings; it
    grows once lambda is above 1 / (1 - beta). The width is the one with the largest distance between S and U.
    """
    return _kernel_mean_embedding(*(part.tobytes() for part in _sample(scores, MOST_LABELED, MOST_UNLABELED)))


@lru_cache(maxsize=1)  # KM1 and KM2 are asked for one after the other
def _kernel_mean_embedding(labeled_bytes: bytes, unlabeled_bytes: bytes) -> tuple[float, float]:
    labeled, unlabeled = np.frombuffer(labeled_bytes), np.frombuffer(unlabeled_bytes)
    spread = float(np.concatenate([labeled, unlabeled]).std()) or 1.0
    labeled, unlabeled = labeled / spread, unlabeled / spread
    points = np.concatenate([unlabeled, labeled])
    squared = np.square(points[:, None] - points[None])
    median = float(np.median(np.sqrt(squared))) or 1.0
    weights = np.concatenate([np.full(len(unlabeled), 1 / len(unlabeled)), np.zeros(len(labeled))])
    others = np.concatenate([np.zeros(len(unlabeled)), np.full(len(labeled), 1 / len(labeled))])
    kernels = [np.exp(-squared / (2 * (median * factor) ** 2)) for factor in (0.1, 0.32, 1.0, 3.2, 10.0)]
    gap = weights - others
    kernel = max(kernels, key=lambda one: float(gap @ one @ gap))
    apart = float(np.sqrt(max(gap @ kernel @ gap, 0.0)))
    start = {"point": weights.copy()}
    lipschitz = 2 * float(np.linalg.eigvalsh(kernel)[-1])

    @cache
    def distance(lam: float) -> float:
        target = lam * weights + (1 - lam) * others
        point = _nearest_in_simplex(kernel, target, start["point"], lipschitz)
        start["point"] = point
        left = target - point
        return float(np.sqrt(max(left @ kernel @ left, 0.0)))

    def slope(lam: float) -> float:
        return (distance(round(lam + 0.02, 6)) - distance(round(lam, 6))) / 0.02

    smallest = min(len(labeled), len(unlabeled))
    first = 1 / np.sqrt(smallest)
    second = 0.8 * (distance(1.05) - distance(1.0)) / 0.05 + 0.2 * apart
    km1 = _bisect(slope, first)
    km2 = km1 if apart > 0 and first / apart > 0.9 else _bisect(slope, second)
    return km1, km2


def _bisect(slope: Callable[[float], float], threshold: float) -> float:
    low, high = 1.0, LARGEST_LAMBDA
    while high - low > RESOLUTION:
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > threshold else (middle, high)
    lam = (low + high) / 2
    return (lam - 1) / lam


def _nearest_in_simplex(
    kernel: np.ndarray, target: np.ndarray, start: np.ndarray, lipschitz: float, num_steps: int = 400
) -> np.ndarray:
    """argmin over the simplex of (v - target)' K (v - target), by accelerated projected gradient with restarts."""
    point, ahead, momentum = start, start, 1.0
    for _ in range(num_steps):
        gradient = 2 * kernel @ (ahead - target)
        moved = _project_to_simplex(ahead - gradient / lipschitz)
        if gradient @ (moved - point) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - point)
        if np.abs(moved - point).max() < 1e-9:
            return moved
        point, momentum = moved, following
    return point


def _project_to_simplex(values: np.ndarray) -> np.ndarray:
    """The nearest point with entries >= 0 that add up to 1 (Held et al. 1974)."""
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(values) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    return np.maximum(values - excess[last], 0.0)


def penalized_l1(scores: Scores, num_centres: int = 100, num_folds: int = 5) -> float:
    """penL1 (Christoffel et al. 2016): beta = argmin over t of sum_l max(0, b_l(t))^2 / lambda - t + 1.

    b_l(t) = t mean_S phi_l - mean_U phi_l with Gaussian bumps phi_l around scores of S and of U (of U only, sets that
    do not overlap would give 1, not 0). Width and lambda are chosen for each t by the cross-validated score -a' b with
    a_l = max(0, b_l) / lambda.
    """
    labeled, unlabeled = _sample(scores, MOST_SCORES, MOST_SCORES)
    spread = float(np.concatenate([labeled, unlabeled]).std()) or 1.0
    labeled, unlabeled = labeled / spread, unlabeled / spread
    rng = numpy_generator(0, "penl1")
    centres = np.concatenate(
        [rng.choice(part, min(num_centres // 2, len(part)), replace=False) for part in (labeled, unlabeled)]
    )
    median = float(np.median(np.abs(unlabeled[:, None] - centres[None]))) or 1.0
    shares, lambdas = np.arange(0.005, 0.951, 0.005), np.logspace(-3, 1, 10)
    folds = [rng.permutation(len(part)) % num_folds for part in (labeled, unlabeled)]
    values, quality = [], []
    for width in median * np.logspace(-2, 1, 10):
        bumps = [np.exp(-np.square(part[:, None] - centres[None]) / (2 * width**2)) for part in (labeled, unlabeled)]
        whole = _difference(bumps, shares)
        held_out = np.zeros((len(shares), len(lambdas)))
        for fold in range(num_folds):
            train, test = (
                _difference([part[(own == fold) == inside] for part, own in zip(bumps, folds, strict=True)], shares)
                for inside in (False, True)
            )
            held_out -= (np.maximum(train, 0) * test).sum(1)[:, None] / lambdas
        values.append(np.square(np.maximum(whole, 0)).sum(1)[:, None] / lambdas - shares[:, None] + 1)
        quality.append(held_out / num_folds)
    stacked, scored = np.stack(values, 2), np.stack(quality, 2)
    best = scored.reshape(len(shares), -1).argmin(1)
    return float(shares[np.argmin(stacked.reshape(len(shares), -1)[np.arange(len(shares)), best])])


def _difference(bumps: list[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """b(t), (len(shares), number of centres)."""
    in_labeled, in_unlabeled = (part.mean(0) for part in bumps)
    return shares[:, None] * in_labeled - in_unlabeled


def _sample(scores: Scores, most_labeled: int, most_unlabeled: int) -> tuple[np.ndarray, np.ndarray]:
    """Random scores of S and U, sorted first so that their order does not matter."""
    rng = numpy_generator(0, "kernel_estimators")
    chosen = []
    for part, most in ((scores.labeled_sensitive, most_labeled), (scores.unlabeled, most_unlabeled)):
        ordered = np.sort(part.astype(float))
        chosen.append(ordered if len(part) <= most else rng.choice(ordered, most, replace=False))
    return chosen[0], chosen[1]
