"""Evaluate one method's samples; instantiated once for each, in a namespace of its name."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.evaluation import nodes
from pu_diffusion_pipeline.steps import step

SHARED = {"judge", "reference_features"}
SCORED = ("samples", "judgements", "features", "reference_features")
SETTINGS = ("params:evaluation",)
RESAMPLES = "params:sensitivity.num_resamples"
JUDGE = "params:judge"
PARAMETERS = {*SETTINGS, "params:compute.device", RESAMPLES, JUDGE}


def create_pipeline(method: str, is_blind: bool = False) -> Pipeline:
    """From `<method>.samples` to `<method>.metrics`.

    Args:
        method: its name.
        is_blind: no labels say which images are sensitive: the rate is an estimate.
    """
    judge, score, judged_by = _blind() if is_blind else _by_the_judge()
    evaluate = Pipeline(
        [
            judge,
            step(
                nodes.extract_sample_features,
                ["samples", "judge", "params:evaluation", "params:compute.device"],
                "features",
                name="extract_sample_features",
            ),
            score,
        ]
    )
    grouped = Pipeline(evaluate, namespace="evaluation", prefix_datasets_with_namespace=False)
    parameters = PARAMETERS & evaluate.inputs()
    shared = SHARED | judged_by
    return Pipeline(grouped, namespace=method, inputs=shared, parameters=parameters)


def _by_the_judge() -> tuple[Node, Node, set[str]]:
    """The nodes that differ, and what they share with other methods."""
    judge = step(
        nodes.judge_samples,
        ["samples", "judge", JUDGE, "params:evaluation", "params:compute.device"],
        "judgements",
        name="judge_samples",
    )
    score = step(
        nodes.score_samples, [*SCORED, "judge_report", *SETTINGS], "metrics", name="score_samples"
    )
    return judge, score, {"judge_report"}


def _blind() -> tuple[Node, Node, set[str]]:
    judge = step(
        nodes.judge_samples_by_sensitivity,
        ["samples", "sensitivity", JUDGE, *SETTINGS],
        "judgements",
        name="judge_samples",
    )
    score = step(
        nodes.score_samples_by_sensitivity,
        {
            **{name: name for name in (*SCORED, "sensitivity", "sensitivity_report")},
            "evaluation": "params:evaluation",
            "judge_options": JUDGE,
            "num_resamples": RESAMPLES,
        },
        "metrics",
        name="score_samples",
    )
    return judge, score, {"sensitivity", "sensitivity_report"}
