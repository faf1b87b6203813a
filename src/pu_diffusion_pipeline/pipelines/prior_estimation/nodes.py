"""Nodes of class-prior estimation."""

from collections.abc import Mapping

import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.positive_unlabeled.options import ClassPriorOptions


def estimate_class_prior(
    unlabeled: ImageSet, labeled_sensitive: ImageSet, class_prior: ClassPriorOptions, seed: int
) -> tuple[dict[str, object], pd.DataFrame, pd.DataFrame, object]:
    """Estimate the share of sensitive images in U from U and S alone, by several estimators."""
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import estimate
    from pu_diffusion_pipeline.reports.interactive import interactive_ratio_curve
    from pu_diffusion_pipeline.reports.tables import methods_table

    found = estimate(labeled_sensitive.images, unlabeled.images, class_prior, seed)
    figure = interactive_ratio_curve(found.scores, found.record)
    return found.record, methods_table(found.methods), found.scores_table(), figure


def use_given_beta(beta: float) -> Mapping[str, object]:
    """Take the beta of training from the parameters."""
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import choose_beta

    return choose_beta(beta)


def use_estimated_beta(beta: str, class_prior: Mapping[str, object]) -> Mapping[str, object]:
    """Take the beta of training from the estimated class prior, or from its upper bound."""
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import choose_beta

    return choose_beta(beta, class_prior)
