"""How long the tasks of a sweep take on this machine."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.reports.frontier import CallsPerImage
from pu_diffusion_pipeline.sweeps.plan import Step, Task

if TYPE_CHECKING:
    from torch import nn


def estimate_seconds(tasks: Sequence[Task]) -> dict[str, float]:
    """How long each task takes, by its name: from a few steps timed now.

    Trainings and sampling count; data, the judge and metrics do not.
    """
    return {task.name: sum(map(_seconds, task.steps)) for task in tasks}


def _seconds(step: Step) -> float:
    method, _, node = step.node.partition(".")
    parameters = step.run.configured.parameters
    if node.startswith("training."):
        return _time(_what_is_timed(parameters))[0] * _num_steps(parameters)
    if node.startswith("sampling."):
        sections = (getattr(parameters, name) for name in CallsPerImage._fields)
        calls = CallsPerImage(*sections).of(METHODS[method])
        return _time(_what_is_timed(parameters))[1] * parameters.sampling.num_images * calls
    return 0.0


def _num_steps(parameters: Parameters) -> int:
    from pu_diffusion_pipeline.training.batches import length_in_steps

    options = parameters.training
    if options.num_steps is not None:
        return options.num_steps
    counts = parameters.data.given_counts
    images = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
    return length_in_steps(options.num_steps, options.num_epochs, images, options.batch_size)


def _what_is_timed(parameters: Parameters) -> Parameters:
    """Equal for runs whose steps take the same time."""
    usual = {"num_steps": 1, "num_epochs": None, "learning_rate": 1e-4}
    training = parameters.training.model_copy(update=usual)
    return parameters.model_copy(update={"seed": 0, "beta": 0.0, "training": training})


@lru_cache
def _time(parameters: Parameters) -> tuple[float, float]:
    return step_of_a_run(parameters)


def step_of_a_run(parameters: Parameters) -> tuple[float, float]:
    """Seconds of a training step, and of denoising one image once, of a run that is not begun."""
    from pu_diffusion_pipeline.training.timing import time_step

    denoiser = _denoiser(parameters)
    return time_step(denoiser, parameters.data, parameters.training, parameters.compute)


def _denoiser(parameters: Parameters) -> "nn.Module":
    """A denoiser of the size that the run trains."""
    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
    from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained

    data = parameters.data
    if parameters.pretrained is None:
        return build_denoiser(
            parameters.denoiser, data.image_size, data.channels, 0, data.num_conditions
        )
    denoiser, _ = load_pretrained(
        parameters.pretrained,
        image_size=data.image_size,
        channels=data.channels,
        noise=parameters.noise,
        num_conditions=data.num_conditions,
    )
    return denoiser
