"""Estimate the class prior, then settle on beta."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.prior_estimation import nodes


def create_pipeline() -> Pipeline:
    """From U and S to `class_prior` and `beta`."""
    return Pipeline(
        [
            Node(
                nodes.estimate_class_prior,
                ["unlabeled_images", "labeled_sensitive_images", "parameters"],
                ["class_prior", "class_prior_methods", "class_prior_scores", "class_prior_curve"],
                name="estimate_class_prior",
            ),
            Node(nodes.choose_beta, ["class_prior", "parameters"], "beta", name="choose_beta"),
        ]
    )
