"""How well a classifier tells S from U and, where the truth is known, what it finds in U."""

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled.calibration import (
    calibration_error,
    calibration_table,
)
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier

FIRST = (50, 100, 200)  # images of the review order


def assess_classifier(
    classifier: SensitivityClassifier, truth: np.ndarray | None = None
) -> dict[str, object]:
    """The record of a classifier.

    Args:
        classifier: fitted on U.
        truth: (N,) bool, whether each image of U is sensitive, in the order of the fit; both kinds
            must occur. It must not be used for anything that a model is trained on.

    Returns:
        `auc_labeled_against_unlabeled`, out of fold. With the truth also
        `auc_sensitive_against_normal` within U, `calibration` (a table by probability),
        `calibration_error`, `brier_score`, and `sensitive_among_first` of the review order.
    """
    scores = classifier.scores
    is_labeled = np.repeat([True, False], [len(part) for part in scores])
    record: dict[str, object] = {
        "model": classifier.model,
        "beta": classifier.beta,
        "num_repeats": len(classifier.models),
        "num_folds": len(classifier.models[0]),
        "num_labeled_sensitive": len(scores.labeled_sensitive),
        "num_unlabeled": len(scores.unlabeled),
        "auc_labeled_against_unlabeled": _auc(is_labeled, np.concatenate(scores)),
        "mean_probability": float(classifier.unlabeled_probabilities.mean()),
    }
    return record if truth is None else {**record, **_against_truth(classifier, truth)}


def _against_truth(classifier: SensitivityClassifier, truth: np.ndarray) -> dict[str, object]:
    probabilities = classifier.unlabeled_probabilities
    scores = classifier.scores.unlabeled
    table = calibration_table(probabilities, truth)
    ordered = truth[np.argsort(-scores, kind="stable")]
    return {
        "num_sensitive": int(truth.sum()),
        "auc_sensitive_against_normal": _auc(truth, scores),
        "calibration": table,
        "calibration_error": calibration_error(table),
        "brier_score": float(((probabilities - truth) ** 2).mean()),
        "sensitive_among_first": {str(count): int(ordered[:count].sum()) for count in FIRST},
    }


def _auc(truth: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))
