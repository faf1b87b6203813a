"""The non-sensitive rate of generated samples without a judge: nobody labels anything but S.

The share of samples with a score above a threshold lies between those of normal and of sensitive
images. Those of U and of S are known, and that of normal images follows with beta:
P_U = beta P_S + (1 - beta) P_N. Where the samples lie between the two says how many of them are
sensitive: Rogan and Gladen's correction, with the classifier as the judge.

What biases it: samples are taken for a mixture of images like those of S and of normal images like
those of U. Generated images are not drawn as U is. Blurred or odd ones have scores in between, and
a model that was trained against S may make sensitive images that look less like S. The scores show
some of that: a share of the samples that no mixture explains (`unexplained`). Those may be of
either kind, so the rate is only known to within that share. Both ends of what is possible are
bootstrapped: the interval holds the uncertainty of that share too (Horowitz and Manski, 2000,
"Nonparametric analysis of randomized experiments with missing covariate and outcome data"). A
resample of a true mixture shows a little of it too, so the interval errs to the wide side. What
looks just like normal images of U stays unseen.
"""

from collections.abc import Mapping

import numpy as np

from pu_diffusion_pipeline.metrics.non_sensitive_rate import rogan_gladen
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier
from pu_diffusion_pipeline.positive_unlabeled.estimators import LARGEST
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve
from pu_diffusion_pipeline.seeding import numpy_generator

HOW = "estimated, no labels"
LEVEL = 0.95
NORMAL_QUANTILE = 1.96  # of LEVEL
MEAN_MISFIT = 0.869  # mean of the Kolmogorov distribution: what a true mixture gives on average
LARGEST_MISFIT = 1.95  # Kolmogorov-Smirnov statistic that a true mixture exceeds once in 1,000
Range = tuple[float, float]


def estimated_rate(
    classifier: SensitivityClassifier,
    images: np.ndarray,
    *,
    num_resamples: int,
    seed: int,
    beta_range: Range | None = None,
) -> dict[str, object]:
    """The rate of samples, with an interval that holds the classifier's own uncertainty.

    Args:
        classifier: fitted on U and S.
        images: (n, C, H, W) uint8, the samples.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        beta_range: where beta is with 95 % probability, if it is an estimate (`beta_range`).

    Returns:
        The record of `rate_from_scores`.

    Raises:
        InvalidInput: as `SensitivityClassifier.fold_scores`.
    """
    return rate_from_scores(
        classifier.repeated_scores,
        classifier.fold_scores(images),
        classifier.beta,
        num_resamples=num_resamples,
        seed=seed,
        beta_range=beta_range,
    )


def rate_from_scores(
    scores: Scores,
    sample_scores: np.ndarray,
    beta: float,
    *,
    num_resamples: int,
    seed: int,
    beta_range: Range | None = None,
) -> dict[str, object]:
    """The rate of samples from scores.

    Args:
        scores: out-of-fold, of S (R, M) and of U (R, N), of R repeats.
        sample_scores: (R, K, n), of the samples by the models of each fold.
        beta: share of sensitive images in U.
        num_resamples: of the bootstrap, which draws images of S, of U and samples, the repeats,
            and beta if it has a range.
        seed: of the bootstrap.
        beta_range: where beta is with 95 % probability; None: it is known.

    Returns:
        `estimate`, `low`, `high`, `level`, `how`, `num_samples`, `beta`, `beta_range`, `threshold`,
        `misfit` (largest distance between the samples' shares above a threshold and those of the
        mixture that was found), `unexplained` (by how much it exceeds what sampling gives) and
        `warnings`. The estimate is None, and the interval all of
        [0, 1], if the scores do not tell S from U.
    """
    whole = Scores(*(part.mean(axis=0) for part in scores))
    samples = sample_scores.mean(axis=0)
    threshold, estimate = _rate(whole, samples, beta)
    record: dict[str, object] = {"estimate": estimate, "low": 0.0, "high": 1.0, "level": LEVEL}
    record |= {"how": HOW, "num_samples": samples.shape[1], "beta": beta}
    record |= {"beta_range": None if beta_range is None else list(beta_range)}
    record |= {"threshold": threshold, "misfit": None, "unexplained": None}
    if estimate is None:
        return {**record, "warnings": ["the scores do not tell S from U"]}
    rng = numpy_generator(seed, "estimated_rate")
    drawn = [
        _resampled_ends(scores, sample_scores, _drawn_beta(beta, beta_range, rng), rng)
        for _ in range(num_resamples)
    ]
    lows, highs = np.transpose(drawn)
    misfit, deviation = _misfit(whole, samples, beta, 1 - estimate)
    unexplained = _unexplained(misfit, deviation)
    low = min(float(np.quantile(lows, (1 - LEVEL) / 2)), estimate - unexplained)
    high = max(float(np.quantile(highs, (1 + LEVEL) / 2)), estimate + unexplained)
    record |= {"low": max(low, 0.0), "high": min(high, 1.0)}
    warnings = _warnings(misfit) if misfit > LARGEST_MISFIT * deviation else []
    return {**record, "misfit": misfit, "unexplained": unexplained, "warnings": warnings}


def beta_range(prior_record: Mapping[str, list[float] | None]) -> Range | None:
    """The range of an estimated beta: all that resamples, repeats and other estimators gave.

    Args:
        prior_record: `class_prior.Estimation.record`.
    """
    names = ("sampling_variability", "spread_of_repeats", "spread_of_methods")
    ends = [end for name in names for end in prior_record[name] or ()]
    return (min(ends), max(ends)) if ends else None


def _rate(scores: Scores, samples: np.ndarray, beta: float) -> tuple[float, float | None]:
    """The threshold at which S and U differ most, and the rate there."""
    curve = ratio_curve(scores)
    place = int(np.argmax(curve.share_labeled - curve.share_unlabeled))
    threshold = float(curve.threshold[place])
    of_sensitive = float(curve.share_labeled[place])
    of_normal = (float(curve.share_unlabeled[place]) - beta * of_sensitive) / (1 - beta)
    below = float((samples < threshold).mean())
    return threshold, rogan_gladen(below, 1 - max(of_normal, 0.0), of_sensitive)


def _resampled_ends(
    scores: Scores, samples: np.ndarray, beta: float, rng: np.random.Generator
) -> Range:
    """The least and the largest rate of a bootstrap sample, with its own unexplained share.

    Any share if its scores do not tell S from U.
    """
    repeats = rng.integers(len(samples), size=len(samples))
    drawn = [
        part[repeats].mean(axis=0)[..., rng.integers(part.shape[-1], size=part.shape[-1])]
        for part in (*scores, samples)
    ]
    resampled = Scores(drawn[0], drawn[1])
    rate = _rate(resampled, drawn[2], beta)[1]
    if rate is None:
        return (float(rng.random()),) * 2
    unexplained = _unexplained(*_misfit(resampled, drawn[2], beta, 1 - rate))
    return rate - unexplained, rate + unexplained


def _drawn_beta(beta: float, beta_range: Range | None, rng: np.random.Generator) -> float:
    """From two halves of normal distributions, of which 95 % are in the range."""
    if beta_range is None:
        return beta
    low, high = beta_range
    deviation = float(rng.standard_normal()) / NORMAL_QUANTILE
    reach = max(high - beta, 0.0) if deviation > 0 else max(beta - low, 0.0)
    return float(np.clip(beta + deviation * reach, 0.0, LARGEST))


def _misfit(scores: Scores, samples: np.ndarray, beta: float, share: float) -> tuple[float, float]:
    """The largest distance of the samples' shares above a threshold from those of the mixture.

    And the standard deviation that scales it (Kolmogorov).

    The mixture is share P_S + (1 - share) P_N = weights[0] P_S + weights[1] P_U.
    """
    rest = (1 - share) / (1 - beta)
    weights = (share - beta * rest, rest)
    thresholds = np.sort(np.concatenate(scores))
    mixture = sum(
        weight * _share_above(part, thresholds)
        for weight, part in zip(weights, scores, strict=True)
    )
    misfit = float(np.abs(_share_above(samples.ravel(), thresholds) - mixture).max())
    variance = 1 / samples.shape[1]
    variance += sum(w**2 / len(part) for w, part in zip(weights, scores, strict=True))
    return misfit, variance**0.5


def _unexplained(misfit: float, deviation: float) -> float:
    """By how much the misfit exceeds what a true mixture gives on average."""
    return max(misfit - MEAN_MISFIT * deviation, 0.0)


def _warnings(misfit: float) -> list[str]:
    return [
        "the samples are no mixture of images like those of S and U (their scores are "
        f"{misfit:.3f} away from one): the rate may be further off than the interval says"
    ]


def _share_above(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return 1 - np.searchsorted(np.sort(scores), thresholds, side="left") / len(scores)
