"""The classifier of sensitivity of a run: its beta, the fit, the report, the order of review.

It is the same for every seed and every beta of a run, so that all runs of one table are judged
alike: U comes in the order of its positions, and beta is the classifier's own.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.temporary import in_order
from pu_diffusion_pipeline.options import in_section
from pu_diffusion_pipeline.positive_unlabeled.assessment import assess_classifier
from pu_diffusion_pipeline.positive_unlabeled.class_prior import choose_beta, estimate
from pu_diffusion_pipeline.positive_unlabeled.classifier import (
    SECTION,
    SensitivityClassifier,
    fit_classifier,
    review_order,
)
from pu_diffusion_pipeline.positive_unlabeled.options import ClassPriorOptions, SensitivityOptions

SEED = 0


class Fitted(NamedTuple):
    """What a run keeps of the classifier.

    Attributes:
        classifier: of S and U.
        report: what `assess_classifier` returns; `class_prior`, the record of the estimate of its
            beta, None if that was given; and `scores_digest`.
        order: `review_order`.
    """

    classifier: SensitivityClassifier
    report: dict[str, object]
    order: pd.DataFrame


def fit_sensitivity(
    labeled_sensitive: np.ndarray,
    unlabeled: np.ndarray,
    positions: np.ndarray,
    options: SensitivityOptions,
    prior_options: ClassPriorOptions,
) -> Fitted:
    """Fit the classifier, with beta as the options say.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8, in any order.
        positions: (N,) of U's images in their source.
        options: of the classifier.
        prior_options: of the estimate of beta.

    Raises:
        InvalidInput: as `fit_classifier` and `choose_beta`.
    """
    rows = np.argsort(positions, kind="stable")
    unlabeled = in_order(unlabeled, rows)
    beta, prior = _beta(labeled_sensitive, unlabeled, options.beta, prior_options)
    classifier = fit_classifier(labeled_sensitive, unlabeled, beta, options, SEED)
    scores = b"".join(part.tobytes() for part in classifier.repeated_scores)
    digest = hashlib.sha256(scores).hexdigest()
    report = {**assess_classifier(classifier), "class_prior": prior, "scores_digest": digest}
    return Fitted(classifier, report, review_order(classifier, positions[rows]))


def _beta(
    labeled_sensitive: np.ndarray,
    unlabeled: np.ndarray,
    beta: float | str,
    prior_options: ClassPriorOptions,
) -> tuple[float, Mapping[str, Any] | None]:
    """Its value, and the record of its estimate if it is estimated."""
    if not isinstance(beta, str):
        return beta, None
    record = estimate(labeled_sensitive, unlabeled, prior_options, SEED).record
    with in_section(SECTION, SensitivityOptions):
        return float(choose_beta(beta, record)["value"]), record
