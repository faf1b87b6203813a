"""The share beta of sensitive images in U, estimated from scores of S and U (two samples, not one with hidden labels).

For every score and threshold c: r(c) = P_U(score >= c) / P_S(score >= c) = beta + (1 - beta) P_N / P_S >= beta. So the
smallest r is an upper bound, and equals beta if some threshold leaves no normal image above it ("irreducible").
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.scores import Scores

FEWEST = 20  # images in S
SMALLEST = 0.005  # an estimate below it would train the unsupervised baseline under another name
LARGEST = 0.95
UNRELIABLE_AUC = 0.6
UNRELIABLE_SHARE = 0.1


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
    labeled, unlabeled = np.sort(scores.labeled_sensitive), np.sort(scores.unlabeled)
    num_labeled, num_unlabeled = len(labeled), len(unlabeled)
    if num_labeled < FEWEST:  # with a single one, a fold has none to fit on and its scores are not finite
        reason = f"S has {num_labeled} images; an estimate needs at least {FEWEST}"
        return ClassPrior(None, 1.0, 0.0, 0, 0, 0.5, (reason,))
    if not (np.isfinite(labeled).all() and np.isfinite(unlabeled).all()):
        raise InvalidInput("class prior: a score is not finite")
    width_labeled, width_unlabeled = (np.sqrt(np.log(4 / delta) / (2 * n)) for n in (num_labeled, num_unlabeled))
    # Between two scores of S only q_U changes, and it is smallest just at the next score of S.
    above_labeled = num_labeled - np.searchsorted(labeled, labeled, side="left")
    above_unlabeled = num_unlabeled - np.searchsorted(unlabeled, labeled, side="left")
    share_labeled, share_unlabeled = above_labeled / num_labeled, above_unlabeled / num_unlabeled
    usable = share_labeled > width_labeled
    bound = np.full(num_labeled, np.inf)
    bound[usable] = (share_unlabeled[usable] + width_unlabeled) / (share_labeled[usable] - width_labeled)
    best = int(np.argmin(bound))
    estimate = float(np.clip(share_unlabeled[best] / share_labeled[best], 0.0, LARGEST))
    result = ClassPrior(
        estimate=estimate,
        upper=float(min(bound[best], 1.0)),
        share_of_labeled_above=float(share_labeled[best]),
        num_labeled_above=int(above_labeled[best]),
        num_unlabeled_above=int(above_unlabeled[best]),
        auc=_auc(labeled, unlabeled),
    )
    return _with_warnings(result)


def median_prior(priors: list[ClassPrior]) -> ClassPrior:
    """The repeat whose estimate is the (lower) median."""
    if any(prior.estimate is None for prior in priors):
        return priors[0]
    return sorted(priors, key=lambda prior: prior.estimate)[(len(priors) - 1) // 2]


def choose_beta(beta: float | str, prior: ClassPrior) -> dict[str, Any]:
    """The value training uses and where it came from.

    Args:
        beta: a number, or `estimated`.
        prior: the estimate.

    Raises:
        InvalidInput: `estimated` was asked for and there is no usable estimate.
    """
    if beta != "estimated":
        return {"value": float(beta), "source": "parameter"}
    if prior.estimate is None:
        raise InvalidInput(f"beta: estimated, but there is no estimate ({'; '.join(prior.warnings)}). Give a number.")
    if prior.estimate < SMALLEST:
        raise InvalidInput(
            f"beta: estimated, but the estimate is {prior.estimate:.4f}: S seems to have nothing in common with U, and "
            "training would be unsupervised. Check S, or give a number."
        )
    return {"value": prior.estimate, "source": "class prior, BBE-ratio (if irreducible)"}


def _auc(labeled: np.ndarray, unlabeled: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.ones(len(labeled)), np.zeros(len(unlabeled))])
    return float(roc_auc_score(truth, np.concatenate([labeled, unlabeled])))


def _with_warnings(prior: ClassPrior) -> ClassPrior:
    warnings = []
    if prior.auc < UNRELIABLE_AUC:
        warnings.append(f"unreliable: S and U are hardly told apart (AUC {prior.auc:.2f})")
    if prior.share_of_labeled_above < UNRELIABLE_SHARE:
        warnings.append(f"unreliable: rests on {prior.num_labeled_above} images of S")
    if prior.estimate < SMALLEST:
        warnings.append("too small to train with: S seems to have nothing in common with U")
    return ClassPrior(**{**asdict(prior), "warnings": tuple(warnings)})
