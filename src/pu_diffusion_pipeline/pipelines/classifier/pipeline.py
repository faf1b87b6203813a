"""Train the judge and measure it."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.classifier import nodes


def create_pipeline() -> Pipeline:
    """From the judge's images to `judge` and `judge_report`."""
    return Pipeline(
        [
            Node(nodes.train_judge, ["judge_images", "judge_index", "parameters"], "judge", name="train_judge"),
            Node(
                nodes.assess_judge,
                ["judge", "test_images", "test_index", "heldout_images", "heldout_index", "parameters"],
                "judge_report",
                name="assess_judge",
            ),
        ]
    )
