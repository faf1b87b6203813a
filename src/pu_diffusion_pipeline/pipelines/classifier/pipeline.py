"""Train the judge, measure it, and let it describe the real test images."""

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.pipelines.classifier import nodes
from pu_diffusion_pipeline.steps import step


def create_pipeline(is_blind: bool = False) -> Pipeline:
    """From the judge's images to `judge`, `judge_report` and `reference_features`.

    Without labels the judge tells S from U. It gives features; it judges nothing.
    """
    train = step(
        nodes.train_judge,
        {
            "judge_images": "judge_images",
            "judge_index": "judge_index",
            "judge": "params:judge",
            "normal_classes": "params:data.normal_classes",
            "device": "params:compute.device",
        },
        "judge",
        name="train_judge",
    )
    assess = step(
        nodes.assess_judge,
        [
            *("judge", "test_images", "test_index", "heldout_images", "heldout_index"),
            *("params:judge", "params:compute.device"),
        ],
        "judge_report",
        name="assess_judge",
    )
    judge = Pipeline([train] if is_blind else [train, assess])
    return judge + create_reference_pipeline(is_blind)


def create_reference_pipeline(is_blind: bool = False) -> Pipeline:
    """From a saved judge and the test images to `reference_features`."""
    if is_blind:
        node = step(
            nodes.extract_probably_normal_features,
            [
                *("test_images", "test_index", "judge", "sensitivity"),
                *("params:evaluation", "params:compute.device"),
            ],
            "reference_features",
            name="extract_reference_features",
        )
        return Pipeline([node])
    return Pipeline(
        [
            step(
                nodes.extract_reference_features,
                ["test_images", "judge", "params:evaluation", "params:compute.device"],
                "reference_features",
                name="extract_reference_features",
            )
        ]
    )
