"""The record of a method's metrics: rates by the judge, distances, and what was measured by."""

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.metrics.estimated_rate import beta_range, estimated_rate
from pu_diffusion_pipeline.metrics.fidelity import Features, distances
from pu_diffusion_pipeline.metrics.non_sensitive_rate import non_sensitive_rate
from pu_diffusion_pipeline.metrics.options import EvaluationOptions
from pu_diffusion_pipeline.metrics.registry import Evaluated, Record, measured_values
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier


def score(
    judgements: pd.DataFrame,
    conditions: np.ndarray | None,
    features: Features,
    reference: Features,
    judge_report: Record,
    options: EvaluationOptions,
) -> dict[str, object]:
    """Every metric of some samples.

    Args:
        judgements: a row per sample: `predicted_class` and `judged_sensitive`.
        conditions: (N,) int64, the class each sample was asked to show (Eq. 20); None:
            unconditional.
        features: of the samples.
        reference: features of the real normal test images, by the same extractor.
        judge_report: what `assess_judge` returned.
        options: of the distances.
    """
    num_normal = int((~judgements["judged_sensitive"]).sum())
    return {
        "non_sensitive_rate": non_sensitive_rate(num_normal, len(judgements), judge_report),
        "per_condition": _rate_per_condition(judgements, conditions, judge_report),
        **_compared(judgements, features, reference, options),
    }


def score_without_labels(
    rate: Record,
    judgements: pd.DataFrame,
    features: Features,
    reference: Features,
    options: EvaluationOptions,
) -> dict[str, object]:
    """Every metric of some samples where no labels say what is sensitive.

    Args:
        rate: `rate_without_labels`.
        judgements: a row per sample: `probability` and `judged_sensitive`.
        features: of the samples.
        reference: features of test images, or of images held out of U that are probably normal.
        options: of the distances.
    """
    compared = _compared(judgements, features, reference, options)
    return {"non_sensitive_rate": rate, "per_condition": None, **compared}


def rate_without_labels(
    images: np.ndarray,
    sensitivity: SensitivityClassifier,
    sensitivity_report: Record,
    num_resamples: int,
) -> dict[str, object]:
    """The estimated rate, in the form of a judge's.

    Args:
        images: (n, C, H, W) uint8, the samples.
        sensitivity: the classifier.
        sensitivity_report: on it, with the record of the class prior that its beta is from.
        num_resamples: of the bootstrap.
    """
    prior = sensitivity_report["class_prior"]
    reach = None if prior is None else beta_range(prior)
    found = estimated_rate(
        sensitivity, images, num_resamples=num_resamples, seed=0, beta_range=reach
    )
    return {"value": found.pop("estimate"), **found, "judge": sensitivity_report}


def _compared(
    judgements: pd.DataFrame, features: Features, reference: Features, options: EvaluationOptions
) -> dict[str, object]:
    """Distances, and the metrics that have a measure of their own."""
    found = distances(
        features,
        reference,
        kid_subsets=options.kid_subsets,
        kid_subset_size=options.kid_subset_size,
        neighborhood=options.neighborhood,
    )
    evaluated = Evaluated(features.values, reference.values, judgements)
    return {"fidelity": found, **measured_values(evaluated)}


def _rate_per_condition(
    judgements: pd.DataFrame, conditions: np.ndarray | None, judge_report: Record
) -> dict[str, dict[str, object]] | None:
    """The rate among the samples that were asked to show each class."""
    if conditions is None:
        return None
    normal = ~judgements["judged_sensitive"].to_numpy()
    predicted = judgements["predicted_class"].to_numpy()
    found = {}
    for condition in np.unique(conditions):
        here = conditions == condition
        rate = non_sensitive_rate(int(normal[here].sum()), int(here.sum()), judge_report)
        del rate["judge"]
        rate["as_asked"] = float((predicted[here] == condition).mean())
        found[str(condition)] = rate
    return found
