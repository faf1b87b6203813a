"""P(sensitive | x in U) from scores of S and U and the share beta of sensitive images in U.

With densities f of the scores, f_U = beta f_S + (1 - beta) f_N, so the probability is
p = beta f_S / f_U. Of S and U with equal weight, a score comes from S with the probability
p / (p + beta). This is fitted, with a log-odds of p that grows with the score and is linear between
a few knots.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores

NUM_KNOTS = 8  # between the lowest and the highest score
ROUGHNESS = 1e-4  # penalty of a slope that changes from knot to knot
SMALLEST_SLOPE = 1e-3  # so that images with other scores have other probabilities


class Calibration(NamedTuple):
    """The map from scores to probabilities.

    Attributes:
        knots: (k,) float64, scores, increasing; outside of them the map is constant.
        log_odds: (k,) float64, of the probability at each knot, increasing.
    """

    knots: np.ndarray
    log_odds: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of the same shape."""
        from scipy.special import expit

        return expit(np.interp(scores, self.knots, self.log_odds))


def calibrate(scores: Scores, beta: float) -> Calibration:
    """Fit the map; the mean probability over U is beta.

    Args:
        scores: out-of-fold, finite, of S and of U from the same folds.
        beta: share of sensitive images in U, in (0, 1).
    """
    from scipy.optimize import minimize

    knots = _knots(scores)
    scale = float(np.concatenate(scores).std()) or 1.0
    widths = np.diff(knots) / scale
    steps = [_steps(part, knots) * widths for part in scores]
    start = np.concatenate([[_log_odds(beta)], np.ones(len(widths))])
    bounds = [(None, None), *((SMALLEST_SLOPE, None) for _ in widths)]
    found = minimize(_loss, start, (*steps, beta), "L-BFGS-B", jac=True, bounds=bounds)
    rises = found.x[1:] * widths
    shape = np.concatenate([[0.0], np.cumsum(rises)])
    return Calibration(knots, shape + _intercept(steps[1] @ found.x[1:], beta))


def _knots(scores: Scores) -> np.ndarray:
    """Quantiles of S and of U, and the ends; one knot if all scores are the same."""
    inner = np.linspace(0, 1, NUM_KNOTS // 2 + 2)[1:-1]
    ends = [reach(np.concatenate(scores)) for reach in (np.min, np.max)]
    return np.unique(np.concatenate([*(np.quantile(part, inner) for part in scores), ends]))


def _steps(scores: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """(n, k - 1), how far each score is through the interval between two knots, in [0, 1]."""
    return np.clip((scores[:, None] - knots[:-1]) / np.diff(knots), 0, 1)


def _loss(
    weights: NDArray[np.float64],
    steps_labeled: NDArray[np.float64],
    steps_unlabeled: NDArray[np.float64],
    beta: float,
) -> tuple[float, NDArray[np.float64]]:
    """The negative mean log-likelihood of the set a score comes from, and its gradient.

    Args:
        weights: the log-odds at the lowest knot, then a slope per interval.
        steps_labeled: of S, times the widths of the intervals.
        steps_unlabeled: of U.
        beta: share of sensitive images in U.
    """
    from scipy.special import expit

    log_odds = weights[0] + steps_labeled @ weights[1:]
    of_labeled = expit(log_odds)
    of_unlabeled = expit(weights[0] + steps_unlabeled @ weights[1:])
    # -log(p / (p + beta)) = log(1 + beta + beta / odds), and -log(beta / (p + beta)).
    loss = np.logaddexp(np.log1p(beta), np.log(beta) - log_odds).mean()
    loss += np.log1p(of_unlabeled / beta).mean()
    pull_labeled = -(1 - of_labeled) * beta / (of_labeled + beta) / len(of_labeled)
    pull_unlabeled = of_unlabeled * (1 - of_unlabeled) / (of_unlabeled + beta) / len(of_unlabeled)
    gradient = np.empty_like(weights)
    gradient[0] = pull_labeled.sum() + pull_unlabeled.sum()
    gradient[1:] = steps_labeled.T @ pull_labeled + steps_unlabeled.T @ pull_unlabeled
    changes = np.diff(weights[1:])
    gradient[1:-1] -= 2 * ROUGHNESS * changes
    gradient[2:] += 2 * ROUGHNESS * changes
    return float(loss + ROUGHNESS * (changes**2).sum()), gradient


def _intercept(log_odds: np.ndarray, beta: float) -> float:
    """What must be added to log-odds so that the mean probability is beta."""
    from scipy.optimize import brentq
    from scipy.special import expit

    aim = _log_odds(beta)
    ends = (aim - log_odds.max() - 1, aim - log_odds.min() + 1)
    return float(brentq(lambda shift: expit(log_odds + shift).mean() - beta, *ends, xtol=1e-12))


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def calibration_table(
    probabilities: np.ndarray, truth: np.ndarray, num_bins: int = 10
) -> list[dict[str, float | int]]:
    """Predicted and true share of sensitive images, by intervals of the probability.

    Args:
        probabilities: (n,), in [0, 1].
        truth: (n,) bool, whether an image is sensitive.
        num_bins: intervals of equal width; those without images are left out.
    """
    place = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    rows = []
    for number in np.unique(place):
        here = place == number
        row = {"from": float(number / num_bins), "to": float((number + 1) / num_bins)}
        row |= {"probability": float(probabilities[here].mean())}
        row |= {"share": float(truth[here].mean()), "num_images": int(here.sum())}
        rows.append(row)
    return rows


def calibration_error(table: list[dict[str, float | int]]) -> float:
    """Expected calibration error: the mean gap of a table's rows, weighted by their images."""
    gaps = [abs(row["probability"] - row["share"]) * row["num_images"] for row in table]
    return float(sum(gaps) / sum(row["num_images"] for row in table))
