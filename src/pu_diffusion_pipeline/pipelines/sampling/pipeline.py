"""Sample one method's model; instantiated once for each, in a namespace of its name."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.sampling import nodes


def create_pipeline(name: str, trains: bool) -> Pipeline:
    """From `<method>.model`, or `initial_model` for a method that does not train, to `<method>.samples`."""
    sample = Pipeline(
        [
            Node(
                nodes.sample_model,
                ["model", "training_manifest", "parameters"],
                "samples",
                name="sample_model",
            )
        ]
    )
    grouped = Pipeline(sample, namespace="sampling", prefix_datasets_with_namespace=False)
    start = {} if trains else {"model": "initial_model", "training_manifest": "initial_manifest"}
    return Pipeline(grouped, namespace=name, inputs=start)
