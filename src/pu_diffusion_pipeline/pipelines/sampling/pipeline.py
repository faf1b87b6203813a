"""Sample one method's model; instantiated once for each, in a namespace of its name."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.sampling import nodes


def create_pipeline(method: str) -> Pipeline:
    """From `<method>.model` to `<method>.samples`."""
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
    return Pipeline(Pipeline(sample, namespace="sampling", prefix_datasets_with_namespace=False), namespace=method)
