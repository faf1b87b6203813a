"""Train one method; instantiated once for each, in a namespace of its name."""

from functools import partial, update_wrapper

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.methods import Method
from pu_diffusion_pipeline.pipelines.training import nodes


def create_initial_pipeline() -> Pipeline:
    """`initial_model`, where every method starts."""
    outputs = ["initial_model", "initial_manifest"]
    return Pipeline([Node(nodes.initialize_denoiser, "parameters", outputs, name="initialize_denoiser")])


def create_pretraining_pipeline() -> Pipeline:
    """`base_model`, a stand-in for a published model."""
    return Pipeline(
        [
            Node(
                nodes.pretrain_denoiser,
                ["judge_images", "base_checkpoints", "parameters"],
                ["base_model", "base_manifest"],
                name="pretrain_denoiser",
            )
        ]
    )


def create_pipeline(name: str, method: Method) -> Pipeline:
    """From the training sets and `initial_model` to `<method>.model`, `.training_history` and `.training_manifest`."""
    inputs = {
        "unlabeled": "unlabeled_images",
        "labeled_sensitive": "labeled_sensitive_images",
        "initial_model": "initial_model",
    }
    if method.uses_beta:
        inputs["beta"] = "beta"
    if "labeled_normal" in method.sets:
        inputs["labeled_normal"] = "labeled_normal_images"
    if method.is_reference:
        inputs["unlabeled"] = "oracle_images"
    train = Node(
        update_wrapper(partial(nodes.train_denoiser, method=name), nodes.train_denoiser),
        {**inputs, "checkpoints": "checkpoints", "watch": "watch", "parameters": "parameters"},
        ["model", "training_history", "training_manifest"],
        name="train_denoiser",
    )
    grouped = Pipeline([train], namespace="training", prefix_datasets_with_namespace=False)
    return Pipeline(grouped, namespace=name, inputs=set(inputs.values()))
