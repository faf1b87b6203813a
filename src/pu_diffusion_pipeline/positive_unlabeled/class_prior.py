"""The share beta of sensitive images in U: an estimate with its bound, how far to trust it, the beta to train with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.estimators import ESTIMATORS, LARGEST, estimate_with_all
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve, resampled_estimates
from pu_diffusion_pipeline.seeding import numpy_generator

FEWEST = 20  # images in S
SMALLEST = 0.005  # an estimate below it would train the unsupervised baseline under another name
UNRELIABLE_AUC = 0.6
UNRELIABLE_SHARE = 0.1
LARGEST_DISAGREEMENT = 0.05  # between estimators on the same scores
PARTIAL_COVERAGE_P = 0.001


@dataclass(frozen=True)
class ClassPrior:
    """An estimate of P(sensitive given U).

    Attributes:
        estimate: r at the chosen threshold, in [0, 0.95]; equals beta in the limit if irreducible. None if there was
            no basis for one.
        upper: beta is below it with probability 1 - delta (approximate when scores of several folds are pooled).
        share_of_labeled_above: share of S above the threshold.
        num_labeled_above: images of S above it.
        num_unlabeled_above: images of U above it.
        auc: area under the ROC curve of S versus U.
        warnings: what to know before relying on it.
    """

    estimate: float | None
    upper: float
    share_of_labeled_above: float
    num_labeled_above: int
    num_unlabeled_above: int
    auc: float
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "warnings": list(self.warnings)}


def bbe_ratio(scores: Scores, delta: float = 0.1) -> ClassPrior:
    """Best bin estimation with the ratio bound.

    c^ = argmin_c (q_U(c) + e_U) / (q_S(c) - e_S) with the DKW widths e = sqrt(ln(4 / delta) / 2n); the minimum is the
    upper bound, r(c^) the estimate. Garg et al. 2021 (Lemma 1); Blanchard et al. 2010 with DKW in place of VC.

    Args:
        scores: out-of-fold scores of S and U; any strictly increasing transform gives the same result.
        delta: the bound fails with at most this probability.
    """
    num_labeled = len(scores.labeled_sensitive)
    if num_labeled < FEWEST:  # with a single one, a fold has none to fit on and its scores are not finite
        reason = f"S has {num_labeled} images; an estimate needs at least {FEWEST}"
        return ClassPrior(None, 1.0, 0.0, 0, 0, 0.5, (reason,))
    if not all(np.isfinite(part).all() for part in scores):
        raise InvalidInput("class prior: a score is not finite")
    curve = ratio_curve(scores)
    ratio, bound, place = curve.best(delta)
    result = ClassPrior(
        estimate=float(np.clip(ratio, 0.0, LARGEST)),
        upper=float(min(bound, 1.0)),
        share_of_labeled_above=float(curve.share_labeled[place]),
        num_labeled_above=int(curve.above_labeled[place]),
        num_unlabeled_above=int(curve.above_unlabeled[place]),
        auc=_auc(scores),
    )
    return replace(result, warnings=(*_of_estimate(result), *_of_coverage(scores, curve.threshold[place])))


def median_prior(priors: Sequence[ClassPrior]) -> ClassPrior:
    """The repeat whose estimate is the (lower) median."""
    if any(prior.estimate is None for prior in priors):
        return priors[0]
    return sorted(priors, key=lambda prior: prior.estimate)[(len(priors) - 1) // 2]


def assess(
    prior: ClassPrior, repeats: Sequence[ClassPrior], scores: Scores, delta: float, num_resamples: int, seed: int
) -> tuple[ClassPrior, dict[str, Any], dict[str, float]]:
    """How far to trust an estimate.

    Args:
        prior: the estimate, one of `repeats`.
        repeats: estimates of every repetition of the fit.
        scores: those of `prior`.
        delta: as in `bbe_ratio`.
        num_resamples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        The prior with all its warnings; its `sampling_variability` (percentiles 2.5 and 97.5 of a bootstrap without
        refits: not a confidence interval, since the bias of the fit is not in it), `spread_of_repeats` and
        `spread_of_methods`; and every method's value.
    """
    if prior.estimate is None:
        return prior, {"sampling_variability": None, "spread_of_repeats": None, "spread_of_methods": None}, {}
    methods = estimate_with_all(scores, delta)
    drawn = resampled_estimates(scores, delta, num_resamples, numpy_generator(seed, "class_prior_bootstrap"))
    counted = [value for name, value in methods.items() if not ESTIMATORS[name].is_baseline and np.isfinite(value)]
    estimates = [one.estimate for one in repeats]
    spread = {
        "sampling_variability": [float(np.clip(np.percentile(drawn, level), 0, 1)) for level in (2.5, 97.5)],
        "spread_of_repeats": [min(estimates), max(estimates)],
        "spread_of_methods": [min(counted), max(counted)],
    }
    warnings = prior.warnings
    if max(counted) - min(counted) > LARGEST_DISAGREEMENT:
        warnings += (f"methods disagree: from {min(counted):.3f} to {max(counted):.3f} on the same scores",)
    return replace(prior, warnings=warnings), spread, methods


def check_sets(labeled_sensitive: np.ndarray, unlabeled: np.ndarray) -> None:
    """Refuse sets that hold the same images.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8.

    Raises:
        InvalidInput: most of S is in U too; S and U must be drawn apart.
    """
    known = {hash(image.tobytes()) for image in labeled_sensitive}
    copies = sum(hash(image.tobytes()) in known for image in unlabeled)
    if copies > len(labeled_sensitive) / 2:
        raise InvalidInput(
            f"class prior: {copies} images of U are copies of images in S ({len(labeled_sensitive)}); S must be a "
            "sample of its own, not a part of U"
        )


def choose_beta(beta: float | str, prior: ClassPrior) -> dict[str, Any]:
    """The value training uses and where it came from.

    Args:
        beta: a number, `estimated`, or `upper` for the bound.
        prior: the estimate.

    Raises:
        InvalidInput: the estimate was asked for and there is no usable one.
    """
    if beta not in ("estimated", "upper"):
        return {"value": float(beta), "source": "parameter"}
    if prior.estimate is None:
        raise InvalidInput(f"beta: {beta}, but there is no estimate ({'; '.join(prior.warnings)}). Give a number.")
    if prior.estimate < SMALLEST:
        raise InvalidInput(
            f"beta: {beta}, but the estimate is {prior.estimate:.4f}: S seems to have nothing in common with U, and "
            "training would be unsupervised. Check S, or give a number."
        )
    if prior.estimate >= LARGEST:
        raise InvalidInput(
            f"beta: {beta}, but U looks like S throughout (estimate {prior.estimate:.2f}, AUC {prior.auc:.2f}): it may "
            "be a copy of S, or the score cannot tell them apart. Check S, or give a number."
        )
    if beta == "upper":
        return {"value": min(prior.upper, LARGEST), "source": "class prior, upper bound of BBE-ratio"}
    return {"value": prior.estimate, "source": "class prior, BBE-ratio (if irreducible)"}


def _auc(scores: Scores) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([1, 0], [len(part) for part in scores])
    return float(roc_auc_score(truth, np.concatenate(scores)))


def _of_estimate(prior: ClassPrior) -> list[str]:
    warnings = []
    if prior.auc < UNRELIABLE_AUC:
        warnings.append(f"unreliable: S and U are hardly told apart (AUC {prior.auc:.2f})")
    if prior.share_of_labeled_above < UNRELIABLE_SHARE:
        warnings.append(f"unreliable: rests on {prior.num_labeled_above} images of S")
    if prior.estimate is not None and prior.estimate < SMALLEST:
        warnings.append("too small to train with: S seems to have nothing in common with U")
    return warnings


def _of_coverage(scores: Scores, threshold: float) -> list[str]:
    """Above the threshold U holds sensitive images only, as S does: if S is a fair sample, their scores agree."""
    from scipy.stats import ks_2samp

    above = [part[part >= threshold] for part in scores]
    if min(map(len, above)) < FEWEST or np.ptp(np.concatenate(above)) == 0:
        return []
    p_value = float(ks_2samp(*above, method="asymp").pvalue)
    if p_value >= PARTIAL_COVERAGE_P:
        return []
    return [
        "S may cover only part of the sensitive classes: above the threshold its scores differ from U's "
        f"(p {p_value:.1g}); the estimate is then too low"
    ]
