"""Index the source, split it, read the images of each group."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.data_engineering import nodes
from pu_diffusion_pipeline.steps import step

TRAINING = ["unlabeled", "labeled_sensitive", "labeled_normal"]
EVALUATION = ["test", "heldout", "judge"]
BLIND_EVALUATION = ["test", "judge"]


def create_pipeline(is_blind: bool = False) -> Pipeline:
    """From `params:data` to the image sets.

    Args:
        is_blind: no labels say which images are sensitive.
    """
    evaluation = BLIND_EVALUATION if is_blind else EVALUATION
    tables = {name: f"{name}_index" for name in [*TRAINING, *evaluation]}
    truth = {} if is_blind else {"oracle_unlabeled": "oracle_unlabeled"}
    return Pipeline(
        [
            step(
                nodes.index_source,
                ["params:data", "image_store"],
                "raw_index",
                name="index_source",
            ),
            step(
                nodes.split_source,
                ["raw_index", "params:data", "params:seed"],
                {**tables, **truth},
                name="split_source",
            ),
            _read("read_training_images", TRAINING),
            _read("read_evaluation_images", evaluation),
        ]
    )


def _read(name: str, groups: list[str]) -> Node:
    return step(
        nodes.read_image_sets,
        ["params:data", "image_store", *(f"{group}_index" for group in groups)],
        [f"{group}_images" for group in groups],
        name=name,
    )


def create_report_pipeline() -> Pipeline:
    """`data_report`: what a user's own folder holds."""
    return Pipeline(
        [
            step(
                nodes.render_data_report,
                [
                    *("raw_index", "class_prior", "initial_model", "image_store"),
                    *("params:data", "params:training", "params:compute", "params:benchmark"),
                ],
                "data_report",
                name="render_data_report",
            ),
        ]
    )


def create_oracle_pipeline() -> Pipeline:
    """`oracle_images`, the normal part of U by ground truth."""
    return Pipeline(
        [
            step(
                nodes.select_normal,
                ["unlabeled_images", "oracle_unlabeled"],
                "oracle_images",
                name="select_normal",
            )
        ]
    )
