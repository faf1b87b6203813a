"""Train one method; instantiated once for each, in a namespace of its name."""

from collections.abc import Callable

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.bound import bound
from pu_diffusion_pipeline.diffusion.methods import Method
from pu_diffusion_pipeline.pipelines.training import nodes
from pu_diffusion_pipeline.steps import step

SECTIONS = ("training", "objective", "compute", "seed", "tracking")
WATCHED_SECTIONS = ("watch", "sampling", "evaluation")


def create_initial_pipeline() -> Pipeline:
    """`initial_model`, where every method starts."""
    sections = ("pretrained", "denoiser", "noise", "data", "seed")
    return Pipeline(
        [
            step(
                nodes.initialize_denoiser,
                _parameters(sections),
                ["initial_model", "initial_manifest"],
                name="initialize_denoiser",
            )
        ]
    )


def create_pretraining_pipeline() -> Pipeline:
    """`base_model`, a stand-in for a published model."""
    sections = ("pretraining", "denoiser", "noise", "objective", "compute", "data")
    inputs = {"judge_images": "judge_images", "checkpoints": "base_checkpoints"}
    return Pipeline(
        [
            step(
                nodes.pretrain_denoiser,
                {**inputs, **_parameters(sections)},
                ["base_model", "base_manifest"],
                name="pretrain_denoiser",
            )
        ]
    )


def create_pipeline(
    name: str, method: Method, is_watched: bool, after: str | None = None
) -> Pipeline:
    """From the training sets and `initial_model` to `<method>.model` with history and manifest.

    Args:
        name: the method's name.
        method: what it looks at.
        is_watched: whether the judge looks at samples while training goes on.
        after: a data set that is there before training starts.
    """
    shared = _shared_inputs(method)
    if after is not None:
        shared["after"] = after
    sections = _parameters(SECTIONS)
    function: Callable[..., object] = nodes.train_denoiser
    own = {"checkpoints": "checkpoints", "tensorboard": "tensorboard"}
    if is_watched:
        function = nodes.train_watched_denoiser
        shared |= {"judge": "judge", "reference_features": "reference_features"}
        sections |= _parameters(WATCHED_SECTIONS)
        own["watch_folder"] = "watch"
    train = step(
        bound(function, method=name),
        {**shared, **own, **sections},
        ["model", "training_history", "training_manifest"],
        name=function.__name__,
    )
    grouped = Pipeline([train], namespace="training", prefix_datasets_with_namespace=False)
    return Pipeline(
        grouped, namespace=name, inputs=set(shared.values()), parameters=set(sections.values())
    )


def _shared_inputs(method: Method) -> dict[str, str]:
    """Argument to data set, of what the methods share."""
    inputs = {"initial_model": "initial_model"}
    inputs |= {"unlabeled": method.unlabeled, "labeled_sensitive": "labeled_sensitive_images"}
    if "labeled_normal" in method.sets:
        inputs["labeled_normal"] = "labeled_normal_images"
    if method.weighs:
        inputs["probabilities"] = "unlabeled_probabilities"
    if method.beta is not None:
        inputs["beta"] = method.beta
    return inputs


def _parameters(sections: tuple[str, ...]) -> dict[str, str]:
    return {section: f"params:{section}" for section in sections}
