"""Train one method; instantiated once for each, in a namespace of its name."""

from functools import partial, update_wrapper

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.training import nodes


def create_pipeline(method: str, uses_beta: bool) -> Pipeline:
    """From U, S (and beta) to `<method>.model`, `<method>.training_history` and `<method>.training_manifest`."""
    shared = {"unlabeled_images", "labeled_sensitive_images"} | ({"beta"} if uses_beta else set())
    inputs = ["unlabeled_images", "labeled_sensitive_images", "checkpoints", "parameters"]
    train_method = update_wrapper(partial(nodes.train_denoiser, method=method), nodes.train_denoiser)
    train = Pipeline(
        [
            Node(
                train_method,
                [*inputs, "beta"] if uses_beta else inputs,
                ["model", "training_history", "training_manifest"],
                name="train_denoiser",
            )
        ]
    )
    grouped = Pipeline(train, namespace="training", prefix_datasets_with_namespace=False)
    return Pipeline(grouped, namespace=method, inputs=shared)
