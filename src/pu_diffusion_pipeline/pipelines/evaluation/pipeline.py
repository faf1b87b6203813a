"""Evaluate one method's samples; instantiated once for each, in a namespace of its name."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.evaluation import nodes


def create_reference_pipeline() -> Pipeline:
    """What all methods are compared with: `reference_features`."""
    return Pipeline(
        [
            Node(
                nodes.extract_reference_features,
                ["test_images", "judge", "saved_reference_features", "parameters"],
                "reference_features",
                name="extract_reference_features",
            )
        ]
    )


def create_pipeline(method: str) -> Pipeline:
    """From `<method>.samples` to `<method>.metrics`."""
    evaluate = Pipeline(
        [
            Node(
                nodes.judge_samples,
                ["samples", "judge", "parameters"],
                "judgements",
                name="judge_samples",
            ),
            Node(
                nodes.extract_sample_features,
                ["samples", "judge", "parameters"],
                "features",
                name="extract_sample_features",
            ),
            Node(
                nodes.score_samples,
                ["samples", "judgements", "features", "reference_features", "judge_report", "parameters"],
                "metrics",
                name="score_samples",
            ),
        ]
    )
    grouped = Pipeline(evaluate, namespace="evaluation", prefix_datasets_with_namespace=False)
    return Pipeline(grouped, namespace=method, inputs={"judge", "reference_features", "judge_report"})
