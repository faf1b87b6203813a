"""One estimate of beta from scores of S and U: best bin estimation with the ratio bound."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.estimators import LARGEST
from pu_diffusion_pipeline.positive_unlabeled.ratio import RatioCurve, Scores, ratio_curve

FEWEST = 20  # images in S
SMALLEST = 0.005  # an estimate below it would train the unsupervised baseline under another name
UNRELIABLE_AUC = 0.6
UNRELIABLE_SHARE = 0.1
PARTIAL_COVERAGE_P = 0.001


@dataclass(frozen=True)
class ClassPrior:
    """An estimate of beta = P(sensitive given U).

    Attributes:
        estimate: r at the chosen threshold, in [0, 0.95]. It equals beta in the limit if beta is
            irreducible. None if S is too small for an estimate.
        upper: beta is below it with probability 1 - delta (approximate when scores of several
            folds are pooled).
        share_of_labeled_above: share of S above the threshold.
        num_labeled_above: number of images of S above it.
        num_unlabeled_above: number of images of U above it.
        auc: area under the ROC curve of S versus U.
        warnings: what to know before relying on the estimate.
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

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ClassPrior":
        """Read what `as_dict` returned; other entries of the record are ignored."""
        values = {field.name: record[field.name] for field in fields(cls)}
        return cls(**{**values, "warnings": tuple(record["warnings"])})


def estimate_class_prior(scores: Scores, delta: float = 0.1) -> ClassPrior:
    """Best bin estimation with the ratio bound.

    c^ = argmin_c (q_U(c) + e_U) / (q_S(c) - e_S) with the DKW widths e = sqrt(ln(4 / delta) / 2n).
    The minimum is the upper bound, r(c^) the estimate. Garg et al. 2021 (Lemma 1); Blanchard et
    al. 2010 with DKW in place of VC.

    Args:
        scores: out-of-fold scores of S and U. Only their order matters.
        delta: the bound fails with at most this probability.

    Raises:
        InvalidInput: a score is not finite, or delta is no probability.
    """
    if not 0 < delta < 1:
        raise InvalidInput(f"delta: expected a number between 0 and 1, got {delta}")
    num_labeled = len(scores.labeled_sensitive)
    # Checked first: with one image in S, some fold has none to fit on, and scores are not finite.
    if num_labeled < FEWEST:
        reason = f"S has {num_labeled} images; an estimate needs at least {FEWEST}"
        return ClassPrior(None, 1.0, 0.0, 0, 0, 0.5, (reason,))
    if not all(np.isfinite(part).all() for part in scores):
        raise InvalidInput("class prior: a score is not finite")
    curve = ratio_curve(scores)
    ratio, bound, place = curve.best(delta)
    prior = _prior_at(curve, place, ratio, bound, _auc(scores))
    threshold = float(curve.threshold[place])
    warnings = (*_estimate_warnings(prior), *_coverage_warnings(scores, threshold))
    return replace(prior, warnings=warnings)


def median_prior(priors: Sequence[ClassPrior]) -> ClassPrior:
    """The repeat whose estimate is the (lower) median; the first one if there is no estimate."""
    estimates = [prior.estimate for prior in priors if prior.estimate is not None]
    if len(estimates) < len(priors):
        return priors[0]
    order = np.argsort(estimates, kind="stable")
    return priors[int(order[(len(priors) - 1) // 2])]


def _prior_at(curve: RatioCurve, place: int, ratio: float, bound: float, auc: float) -> ClassPrior:
    return ClassPrior(
        estimate=float(np.clip(ratio, 0.0, LARGEST)),
        upper=float(min(bound, 1.0)),
        share_of_labeled_above=float(curve.share_labeled[place]),
        num_labeled_above=int(curve.above_labeled[place]),
        num_unlabeled_above=int(curve.above_unlabeled[place]),
        auc=auc,
    )


def _auc(scores: Scores) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([1, 0], [len(part) for part in scores])
    return float(roc_auc_score(truth, np.concatenate(scores)))


def _estimate_warnings(prior: ClassPrior) -> list[str]:
    warnings = []
    if prior.auc < UNRELIABLE_AUC:
        warnings.append(f"unreliable: S and U are hardly told apart (AUC {prior.auc:.2f})")
    if prior.share_of_labeled_above < UNRELIABLE_SHARE:
        warnings.append(f"unreliable: rests on {prior.num_labeled_above} images of S")
    if prior.estimate is not None and prior.estimate < SMALLEST:
        warnings.append("too small to train with: S seems to have nothing in common with U")
    return warnings


def _coverage_warnings(scores: Scores, threshold: float) -> list[str]:
    """Compare the scores of S and U above the threshold.

    U has sensitive images only up there, as S does. If S is a fair sample, their scores agree.
    """
    from scipy.stats import ks_2samp

    above = [part[part >= threshold] for part in scores]
    if min(map(len, above)) < FEWEST or np.ptp(np.concatenate(above)) == 0:
        return []
    p_value = float(ks_2samp(*above, method="asymp").pvalue)
    if p_value >= PARTIAL_COVERAGE_P:
        return []
    return [
        "S may cover only part of the sensitive classes: above the threshold its scores differ "
        f"from U's (p {p_value:.1g}); the estimate is then too low"
    ]
