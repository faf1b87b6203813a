"""Sample one method's model; instantiated once for each, in a namespace of its name."""

from collections.abc import Callable

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.bound import bound
from pu_diffusion_pipeline.diffusion.methods import Method
from pu_diffusion_pipeline.pipelines.sampling import nodes
from pu_diffusion_pipeline.steps import step

PARAMETERS = {
    "sampling": "params:sampling",
    "compute": "params:compute",
    "num_conditions": "params:data.num_conditions",
    "seed": "params:seed",
}

OWN = {"model", "training_manifest"}  # of a method that trains


def create_pipeline(name: str, method: Method) -> Pipeline:
    """From `<method>.model`, or other models if it has none of its own, to its samples.

    Args:
        name: the method's name.
        method: what it draws from.
    """
    inputs = {**_models(method), **PARAMETERS}
    function: Callable[..., object] = nodes.sample_model
    if "guiding" in method.sections:
        function = bound(nodes.sample_guided, method=name)
        other = f"{method.draws_from[1]}.model"
        inputs |= {"other": other, "guiding": "params:guiding"}
    if "filtering" in method.sections:
        function = bound(nodes.sample_filtered, method=name)
        inputs |= {"sensitivity": "sensitivity", "filtering": "params:filtering"}
    sample = step(function, inputs, "samples", name=function.__name__)
    grouped = Pipeline([sample], namespace="sampling", prefix_datasets_with_namespace=False)
    parameters = {one for one in inputs.values() if one.startswith("params:")}
    shared = set(inputs.values()) - parameters - OWN
    return Pipeline(grouped, namespace=name, inputs=shared, parameters=parameters)


def _models(method: Method) -> dict[str, str]:
    """The model that it draws from, and the record of that model's training."""
    if method.trains:
        return {"model": "model", "training_manifest": "training_manifest"}
    if method.draws_from:
        main = method.draws_from[0]
        return {"model": f"{main}.model", "training_manifest": f"{main}.training_manifest"}
    return {"model": "initial_model", "training_manifest": "initial_manifest"}
