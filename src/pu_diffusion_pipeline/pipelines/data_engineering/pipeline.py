"""Index the source, split it, read the images of each group."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.data_engineering import nodes


def create_pipeline() -> Pipeline:
    """From `params:data` to the image sets."""
    indexes = ["unlabeled_index", "labeled_sensitive_index", "test_index", "heldout_index", "judge_index"]
    return Pipeline(
        [
            Node(nodes.index_source, "params:data", "raw_index", name="index_source"),
            Node(nodes.split_source, ["raw_index", "parameters"], [*indexes, "oracle_unlabeled"], name="split_source"),
            Node(
                nodes.read_training_images,
                [*indexes[:2], "parameters"],
                ["unlabeled_images", "labeled_sensitive_images"],
                name="read_training_images",
            ),
            Node(
                nodes.read_evaluation_images,
                [*indexes[2:], "parameters"],
                ["test_images", "heldout_images", "judge_images"],
                name="read_evaluation_images",
            ),
        ]
    )
