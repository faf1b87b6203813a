"""Fine-tune the trained PU model on U, judge its samples on the way, draw the curve."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.relearning import nodes

SECTIONS = ("relearning", "training", "objective", "compute", "sampling", "seed")


def create_pipeline(is_blind: bool = False) -> Pipeline:
    """From the saved `pu.model` to `relearning` and its page.

    Args:
        is_blind: no labels say which images are sensitive: the rate is an estimate.
    """
    return Pipeline(
        [
            Node(
                nodes.relearn,
                {
                    "model": "pu.model",
                    "unlabeled": "unlabeled_images",
                    **{name: f"params:{name}" for name in SECTIONS},
                },
                "relearned_samples",
                name="relearn",
            ),
            _blind() if is_blind else _by_the_judge(),
            Node(
                nodes.render_relearning,
                ["relearning", "unsupervised.metrics", "params:benchmark"],
                "relearning_page",
                name="render_relearning",
            ),
        ]
    )


def _by_the_judge() -> Node:
    return Node(
        nodes.judge_relearning,
        [
            *("relearned_samples", "judge"),
            *("params:judge", "params:evaluation", "params:compute.device"),
        ],
        "relearning",
        name="judge_relearning",
    )


def _blind() -> Node:
    return Node(
        nodes.judge_relearning_by_sensitivity,
        [
            *("relearned_samples", "sensitivity", "sensitivity_report"),
            *("params:judge", "params:evaluation", "params:sensitivity.num_resamples"),
        ],
        "relearning",
        name="judge_relearning",
    )
