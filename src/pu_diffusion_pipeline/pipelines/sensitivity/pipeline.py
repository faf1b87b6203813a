"""Fit the classifier of sensitivity to U and S; list the most suspicious images of U."""

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.pipelines.sensitivity import nodes
from pu_diffusion_pipeline.steps import step


def create_pipeline() -> Pipeline:
    """From U and S to `sensitivity`, its report and the order of review."""
    node = step(
        nodes.fit_sensitivity,
        [
            *("unlabeled_images", "unlabeled_index", "labeled_sensitive_images"),
            *("params:sensitivity", "params:class_prior"),
        ],
        ["sensitivity", "sensitivity_report", "review_order"],
        name="fit_sensitivity",
    )
    return Pipeline([node])


def create_cleaning_pipeline() -> Pipeline:
    """`cleaned_images`, U without what is probably sensitive, and the beta of what is left.

    And `unlabeled_probabilities`, for methods that weigh U instead.
    """
    clean = step(
        nodes.clean_unlabeled,
        ["unlabeled_images", "unlabeled_index", "sensitivity", "params:cleaning"],
        ["cleaned_images", "cleaned_beta", "cleaning_report"],
        name="clean_unlabeled",
    )
    weigh = step(
        nodes.weigh_unlabeled,
        ["unlabeled_index", "sensitivity"],
        "unlabeled_probabilities",
        name="weigh_unlabeled",
    )
    return Pipeline([clean, weigh])


def create_review_pipeline() -> Pipeline:
    """`review_list` and `review_page`, for a person who cleans U."""
    node = step(
        nodes.render_review,
        [
            *("review_order", "unlabeled_images", "unlabeled_index", "raw_index"),
            "params:benchmark",
        ],
        ["review_list", "review_page"],
        name="render_review",
    )
    return Pipeline([node])
