"""Fine-tune a trained model on U, judge its samples on the way, draw the curve of PU's."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.relearning import nodes
from pu_diffusion_pipeline.steps import step

SECTIONS = ("relearning", "training", "objective", "compute", "sampling", "seed")
SHARED = {"unlabeled_images", "judge", "sensitivity", "sensitivity_report"}


def create_pipeline(method: str, is_blind: bool = False) -> Pipeline:
    """From the saved `<method>.model` to `<method>.relearning` and `<method>.relearned`.

    Args:
        method: its name.
        is_blind: no labels say which images are sensitive: the rate is an estimate.
    """
    relearn = step(
        nodes.relearn,
        {
            "model": "model",
            "unlabeled": "unlabeled_images",
            **{name: f"params:{name}" for name in SECTIONS},
        },
        "relearned_samples",
        name="relearn",
    )
    record = step(nodes.record_relearning, "relearning", "relearned", name="record_relearning")
    nodes_of_it = Pipeline([relearn, _blind() if is_blind else _by_the_judge(), record])
    grouped = Pipeline(nodes_of_it, namespace="relearning", prefix_datasets_with_namespace=False)
    inputs = nodes_of_it.inputs()
    parameters = {name for name in inputs if name.startswith("params:")}
    return Pipeline(grouped, namespace=method, inputs=SHARED & inputs, parameters=parameters)


def create_page_pipeline() -> Pipeline:
    """From `pu.relearning` to its page."""
    render = step(
        nodes.render_relearning,
        ["pu.relearning", "unsupervised.metrics", "params:benchmark"],
        "relearning_page",
        name="render_relearning",
    )
    return Pipeline([render])


def _by_the_judge() -> Node:
    return step(
        nodes.judge_relearning,
        [
            *("relearned_samples", "judge"),
            *("params:judge", "params:evaluation", "params:compute.device"),
        ],
        "relearning",
        name="judge_relearning",
    )


def _blind() -> Node:
    return step(
        nodes.judge_relearning_by_sensitivity,
        [
            *("relearned_samples", "sensitivity", "sensitivity_report"),
            *("params:judge", "params:evaluation", "params:sensitivity.num_resamples"),
        ],
        "relearning",
        name="judge_relearning",
    )
