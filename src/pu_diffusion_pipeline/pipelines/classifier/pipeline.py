"""Train the judge, measure it, and let it describe the real test images."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.classifier import nodes


def create_pipeline() -> Pipeline:
    """From the judge's images to `judge`, `judge_report` and `reference_features`."""
    return (
        Pipeline(
            [
                Node(
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
                ),
                Node(
                    nodes.assess_judge,
                    [
                        *("judge", "test_images", "test_index", "heldout_images", "heldout_index"),
                        "params:compute.device",
                    ],
                    "judge_report",
                    name="assess_judge",
                ),
            ]
        )
        + create_reference_pipeline()
    )


def create_reference_pipeline() -> Pipeline:
    """From a saved judge and the test images to `reference_features`."""
    return Pipeline(
        [
            Node(
                nodes.extract_reference_features,
                ["test_images", "judge", "params:evaluation", "params:compute.device"],
                "reference_features",
                name="extract_reference_features",
            )
        ]
    )
