"""Train the second judge, and ask it about one method's samples."""

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.pipelines.second_judge import nodes
from pu_diffusion_pipeline.steps import step

SHARED = {"second_judge", "labeled_sensitive_images", "heldout_images"}


def create_pipeline() -> Pipeline:
    """From the first judge's images to `second_judge`."""
    train = step(
        nodes.train_second_judge,
        [
            *("judge_images", "judge_index", "test_images", "heldout_images"),
            *("params:data.normal_classes", "params:judge"),
        ],
        "second_judge",
        name="train_second_judge",
    )
    return Pipeline([train])


def create_opinion_pipeline(method: str) -> Pipeline:
    """From `<method>.samples` and its judgements to `<method>.second_opinion`.

    Args:
        method: its name.
    """
    ask = step(
        nodes.ask_second_judge,
        {
            "samples": "samples",
            "judgements": "judgements",
            "second_judge": "second_judge",
            "labeled_sensitive": "labeled_sensitive_images",
            "heldout_images": "heldout_images",
        },
        "second_opinion",
        name="ask_second_judge",
    )
    grouped = Pipeline([ask], namespace="evaluation", prefix_datasets_with_namespace=False)
    return Pipeline(grouped, namespace=method, inputs=SHARED)
