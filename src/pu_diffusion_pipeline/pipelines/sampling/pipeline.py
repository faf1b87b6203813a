"""Sample one method's model; instantiated once for each, in a namespace of its name."""

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.sampling import nodes

PARAMETERS = ["params:sampling", "params:compute", "params:data.num_conditions", "params:seed"]


def create_pipeline(name: str, trains: bool) -> Pipeline:
    """From `<method>.model`, or `initial_model` for one that does not train, to its samples."""
    sample = Pipeline(
        [
            Node(
                nodes.sample_model,
                ["model", "training_manifest", *PARAMETERS],
                "samples",
                name="sample_model",
            )
        ]
    )
    grouped = Pipeline(sample, namespace="sampling", prefix_datasets_with_namespace=False)
    start = {"model": "initial_model", "training_manifest": "initial_manifest"}
    inputs = {} if trains else start
    return Pipeline(grouped, namespace=name, inputs=inputs, parameters=set(PARAMETERS))
