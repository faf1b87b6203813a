"""Estimate the class prior; settle on beta."""

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.pipelines.prior_estimation import nodes
from pu_diffusion_pipeline.steps import step


def create_pipeline() -> Pipeline:
    """From U and S to `class_prior`."""
    return Pipeline(
        [
            step(
                nodes.estimate_class_prior,
                [
                    *("unlabeled_images", "labeled_sensitive_images"),
                    *("params:class_prior", "params:seed"),
                ],
                [
                    *("class_prior", "class_prior_methods"),
                    *("class_prior_scores", "class_prior_curve"),
                ],
                name="estimate_class_prior",
            )
        ]
    )


def create_beta_pipeline(is_estimated: bool) -> Pipeline:
    """`beta`, from the parameter alone or from the estimate."""
    if is_estimated:
        inputs = ["params:beta", "class_prior"]
        return Pipeline([step(nodes.use_estimated_beta, inputs, "beta", name="use_estimated_beta")])
    return Pipeline([step(nodes.use_given_beta, "params:beta", "beta", name="use_given_beta")])
