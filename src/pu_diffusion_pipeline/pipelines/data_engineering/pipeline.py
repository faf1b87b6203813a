"""Index the source, split it, read the images of each group."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.data_engineering import nodes

TRAINING = ["unlabeled_index", "labeled_sensitive_index", "labeled_normal_index"]
EVALUATION = ["test_index", "heldout_index", "judge_index"]


def create_pipeline() -> Pipeline:
    """From `params:data` to the image sets."""
    return Pipeline(
        [
            Node(nodes.index_source, "params:data", "raw_index", name="index_source"),
            Node(
                nodes.split_source,
                ["raw_index", "params:data", "params:seed"],
                {
                    **{name.removesuffix("_index"): name for name in [*TRAINING, *EVALUATION]},
                    "oracle_unlabeled": "oracle_unlabeled",
                },
                name="split_source",
            ),
            Node(
                nodes.read_image_sets,
                ["params:data", *TRAINING],
                ["unlabeled_images", "labeled_sensitive_images", "labeled_normal_images"],
                name="read_training_images",
            ),
            Node(
                nodes.read_image_sets,
                ["params:data", *EVALUATION],
                ["test_images", "heldout_images", "judge_images"],
                name="read_evaluation_images",
            ),
        ]
    )


def create_oracle_pipeline() -> Pipeline:
    """`oracle_images`, the normal part of U by ground truth."""
    return Pipeline(
        [
            Node(
                nodes.select_normal,
                ["unlabeled_images", "oracle_unlabeled"],
                "oracle_images",
                name="select_normal",
            )
        ]
    )
