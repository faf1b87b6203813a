"""Evaluate one method's samples; instantiated once for each, in a namespace of its name."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.evaluation import nodes

SHARED = {"judge", "reference_features", "judge_report"}
PARAMETERS = {"params:evaluation", "params:compute.device"}


def create_pipeline(method: str) -> Pipeline:
    """From `<method>.samples` to `<method>.metrics`."""
    evaluate = Pipeline(
        [
            Node(
                nodes.judge_samples,
                ["samples", "judge", "params:evaluation", "params:compute.device"],
                "judgements",
                name="judge_samples",
            ),
            Node(
                nodes.extract_sample_features,
                ["samples", "judge", "params:evaluation", "params:compute.device"],
                "features",
                name="extract_sample_features",
            ),
            Node(
                nodes.score_samples,
                [
                    *("samples", "judgements", "features", "reference_features", "judge_report"),
                    "params:evaluation",
                ],
                "metrics",
                name="score_samples",
            ),
        ]
    )
    grouped = Pipeline(evaluate, namespace="evaluation", prefix_datasets_with_namespace=False)
    return Pipeline(grouped, namespace=method, inputs=SHARED, parameters=PARAMETERS)
