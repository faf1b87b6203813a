"""Nodes of the classifier of sensitivity."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.positive_unlabeled.options import (
    ClassPriorOptions,
    CleaningOptions,
    SensitivityOptions,
)

if TYPE_CHECKING:
    from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier


def fit_sensitivity(
    unlabeled: ImageSet,
    unlabeled_index: pd.DataFrame,
    labeled_sensitive: ImageSet,
    sensitivity: SensitivityOptions,
    class_prior: ClassPriorOptions,
) -> tuple["SensitivityClassifier", dict[str, object], pd.DataFrame]:
    """Train a classifier of sensitive images from U and S alone."""
    from pu_diffusion_pipeline.positive_unlabeled.sensitivity import fit_sensitivity

    positions = unlabeled_index["position"].to_numpy()
    sets = (labeled_sensitive.images, unlabeled.images)
    return fit_sensitivity(*sets, positions, sensitivity, class_prior)


def clean_unlabeled(
    unlabeled: ImageSet,
    unlabeled_index: pd.DataFrame,
    sensitivity: "SensitivityClassifier",
    cleaning: CleaningOptions,
) -> tuple[ImageSet, dict[str, object], dict[str, object]]:
    """Leave out of U what is probably sensitive, and estimate how much of it is left."""
    from pu_diffusion_pipeline.positive_unlabeled.cleaning import clean

    positions = unlabeled_index["position"].to_numpy()
    cleaned = clean(sensitivity, positions, cleaning.probability)
    beta = {"value": cleaned.beta, "source": "estimated, after cleaning"}
    return unlabeled.select(cleaned.rows), beta, cleaned.record


def weigh_unlabeled(
    unlabeled_index: pd.DataFrame, sensitivity: "SensitivityClassifier"
) -> pd.DataFrame:
    """Give each image of U its probability of being sensitive.

    Rounded: the classifier's last bits depend on the machine, and a training goes on only with the
    same weights.
    """
    from pu_diffusion_pipeline.positive_unlabeled.cleaning import in_order_of

    positions = unlabeled_index["position"].to_numpy()
    probabilities = in_order_of(sensitivity, positions)
    return pd.DataFrame({"position": positions, "probability": probabilities.round(4)})


def render_review(
    review_order: pd.DataFrame,
    unlabeled: ImageSet,
    unlabeled_index: pd.DataFrame,
    raw_index: pd.DataFrame,
    benchmark: str,
) -> tuple[pd.DataFrame, str]:
    """List the images of U that a person should look at first."""
    from pu_diffusion_pipeline.reports.review import render_review, review_list

    review = review_list(review_order, raw_index)
    row = pd.Series(np.arange(len(unlabeled)), index=unlabeled_index["position"])
    return review, render_review(benchmark, review, unlabeled.images, row)
