"""Estimators of beta on one-dimensional scores that match kernel means or densities.

KM1, KM2 and penL1.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.seeding import numpy_generator

MOST_UNLABELED = 300  # scores of U in the quadratic programs of KM1 and KM2
MOST_LABELED = 200  # scores of S in them
MOST_SCORES = 5_000  # of S and of U that penL1 looks at
SHARES = np.arange(0.005, 0.951, 0.005)  # values of t that penL1 tries
LAMBDAS = np.logspace(-3, 1, 10)  # its weights of the penalty
LARGEST_LAMBDA = 20.0  # beta = (lambda - 1) / lambda, so 0.95
RESOLUTION = 0.005  # of lambda


def kernel_mean_embedding(scores: Scores) -> tuple[float, float]:
    """KM1 and KM2 (Ramaswamy et al. 2016) with a Gaussian kernel on standardised scores.

    d(lambda) is the distance from lambda phi(U) + (1 - lambda) phi(S) to the convex hull of the
    points' embeddings; it grows once lambda is above 1 / (1 - beta). The width is the one with the
    largest distance between S and U.
    """
    labeled, unlabeled = _sample(scores, MOST_LABELED, MOST_UNLABELED)
    return _kernel_mean_embedding(labeled.tobytes(), unlabeled.tobytes())


@lru_cache(maxsize=1)  # KM1 and KM2 are asked for one after the other
def _kernel_mean_embedding(labeled_bytes: bytes, unlabeled_bytes: bytes) -> tuple[float, float]:
    labeled, unlabeled = _standardised(np.frombuffer(labeled_bytes), np.frombuffer(unlabeled_bytes))
    hull = _ConvexHull(labeled, unlabeled)
    first = 1 / np.sqrt(min(len(labeled), len(unlabeled)))
    second = 0.8 * (hull.distance(1.05) - hull.distance(1.0)) / 0.05 + 0.2 * hull.apart
    km1 = _bisect(hull.slope, first)
    if hull.apart > 0 and first / hull.apart > 0.9:
        return km1, km1
    return km1, _bisect(hull.slope, second)


class _ConvexHull:
    """d(lambda) of `kernel_mean_embedding`, with the distance `apart` between S and U."""

    def __init__(self, labeled: np.ndarray, unlabeled: np.ndarray) -> None:
        of_unlabeled = np.full(len(unlabeled), 1 / len(unlabeled))
        of_labeled = np.full(len(labeled), 1 / len(labeled))
        self.weights = np.concatenate([of_unlabeled, np.zeros(len(labeled))])
        self.others = np.concatenate([np.zeros(len(unlabeled)), of_labeled])
        gap = self.weights - self.others
        kernels = _gaussian_kernels(np.concatenate([unlabeled, labeled]))
        self.kernel = max(kernels, key=lambda kernel: float(gap @ kernel @ gap))
        self.apart = float(np.sqrt(max(gap @ self.kernel @ gap, 0.0)))
        self.lipschitz = 2 * float(np.linalg.eigvalsh(self.kernel)[-1])
        self.nearest = self.weights.copy()  # where the next search starts
        self.known: dict[float, float] = {}

    def distance(self, lam: float) -> float:
        """d(lambda)."""
        if lam not in self.known:
            target = lam * self.weights + (1 - lam) * self.others
            self.nearest = _nearest_in_simplex(self.kernel, target, self.nearest, self.lipschitz)
            left = target - self.nearest
            self.known[lam] = float(np.sqrt(max(left @ self.kernel @ left, 0.0)))
        return self.known[lam]

    def slope(self, lam: float) -> float:
        """d'(lambda), from a difference."""
        return (self.distance(round(lam + 0.02, 6)) - self.distance(round(lam, 6))) / 0.02


def _gaussian_kernels(points: np.ndarray) -> list[np.ndarray]:
    """Kernel matrices (n, n) of five widths around the median distance."""
    squared = np.square(points[:, None] - points[None])
    median = float(np.median(np.sqrt(squared))) or 1.0
    widths = [median * factor for factor in (0.1, 0.32, 1.0, 3.2, 10.0)]
    return [np.exp(-squared / (2 * width**2)) for width in widths]


def _standardised(labeled: np.ndarray, unlabeled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both divided by their common standard deviation."""
    spread = float(np.concatenate([labeled, unlabeled]).std()) or 1.0
    return labeled / spread, unlabeled / spread


def _bisect(slope: Callable[[float], float], threshold: float) -> float:
    low = 1.0
    high = LARGEST_LAMBDA
    while high - low > RESOLUTION:
        middle = (low + high) / 2
        if slope(middle) > threshold:
            high = middle
        else:
            low = middle
    lam = (low + high) / 2
    return (lam - 1) / lam


def _nearest_in_simplex(
    kernel: np.ndarray,
    target: np.ndarray,
    start: np.ndarray,
    lipschitz: float,
    num_steps: int = 400,
) -> np.ndarray:
    """argmin over the simplex of (v - target)' K (v - target).

    By accelerated projected gradient with restarts.
    """
    point = start
    ahead = start
    momentum = 1.0
    for _ in range(num_steps):
        gradient = 2 * (kernel @ (ahead - target))  # 2 * kernel would copy it in each step
        moved = _project_to_simplex(ahead - gradient / lipschitz)
        if gradient @ (moved - point) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - point)
        if np.abs(moved - point).max() < 1e-9:
            return moved
        point = moved
        momentum = following
    return point


def _project_to_simplex(values: np.ndarray) -> np.ndarray:
    """The nearest point with entries >= 0 that add up to 1 (Held et al. 1974)."""
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(values) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    return np.maximum(values - excess[last], 0.0)


def penalized_l1(scores: Scores, num_centres: int = 100, num_folds: int = 5) -> float:
    """penL1 (Christoffel et al. 2016).

    beta = argmin over t of sum_l max(0, b_l(t))^2 / lambda - t + 1, where b_l(t) =
    t mean_S phi_l - mean_U phi_l with Gaussian bumps phi_l around scores of S and of U (around
    scores of U alone, sets that do not overlap would give 1, not 0). Width and lambda are chosen
    for each t by the cross-validated score -a' b with a_l = max(0, b_l) / lambda.
    """
    parts = _standardised(*_sample(scores, MOST_SCORES, MOST_SCORES))
    rng = numpy_generator(0, "penl1")
    chosen = [rng.choice(part, min(num_centres // 2, len(part)), replace=False) for part in parts]
    centres = np.concatenate(chosen)
    median = float(np.median(np.abs(parts[1][:, None] - centres[None]))) or 1.0
    folds = [rng.permutation(len(part)) % num_folds for part in parts]
    values = []
    quality = []
    for width in median * np.logspace(-2, 1, 10):
        bumps = [
            np.exp(-np.square(part[:, None] - centres[None]) / (2 * width**2)) for part in parts
        ]
        penalty = np.square(np.maximum(_difference(bumps), 0)).sum(1)[:, None]
        values.append(penalty / LAMBDAS - SHARES[:, None] + 1)
        quality.append(_cross_validated(bumps, folds, num_folds))
    # The last axes are all pairs of lambda and width.
    best = np.stack(quality, 2).reshape(len(SHARES), -1).argmin(1)
    at_best = np.stack(values, 2).reshape(len(SHARES), -1)[np.arange(len(SHARES)), best]
    return float(SHARES[np.argmin(at_best)])


def _cross_validated(
    bumps: list[np.ndarray], folds: list[np.ndarray], num_folds: int
) -> np.ndarray:
    """(len(SHARES), len(LAMBDAS)) mean of -a' b over folds, a from the others and b from it."""
    total = np.zeros((len(SHARES), len(LAMBDAS)))
    for fold in range(num_folds):
        held_out = [numbers == fold for numbers in folds]
        train = _difference([part[~rows] for part, rows in zip(bumps, held_out, strict=True)])
        test = _difference([part[rows] for part, rows in zip(bumps, held_out, strict=True)])
        total -= (np.maximum(train, 0) * test).sum(1)[:, None] / LAMBDAS
    return total / num_folds


def _difference(bumps: list[np.ndarray]) -> np.ndarray:
    """b(t) for every t in SHARES, (len(SHARES), number of centres)."""
    in_labeled, in_unlabeled = (part.mean(0) for part in bumps)
    return SHARES[:, None] * in_labeled - in_unlabeled


def _sample(
    scores: Scores, most_labeled: int, most_unlabeled: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random scores of S and U, sorted first so that their order does not matter."""
    rng = numpy_generator(0, "kernel_estimators")

    def draw(part: np.ndarray, most: int) -> np.ndarray:
        ordered = np.sort(part.astype(float))
        return ordered if len(part) <= most else rng.choice(ordered, most, replace=False)

    labeled = draw(scores.labeled_sensitive, most_labeled)
    return labeled, draw(scores.unlabeled, most_unlabeled)
