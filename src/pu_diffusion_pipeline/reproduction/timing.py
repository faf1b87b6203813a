"""How long runs take on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.reports.frontier import Drawing
from pu_diffusion_pipeline.reproduction.plan import Run, configuration

if TYPE_CHECKING:
    from torch import nn


def estimate_seconds(runs: Sequence[Run], project: Path) -> float:
    """How long the runs take on this machine: from a few steps timed now."""
    total = 0.0
    for benchmark in dict.fromkeys(run.benchmark for run in runs):
        here = [run for run in runs if run.benchmark == benchmark]
        parameters = configuration(project, benchmark, here[0].parameters).final_parameters()
        step, image = step_of_a_run(parameters)
        drawing = Drawing(*(getattr(parameters, name) for name in Drawing._fields))
        calls = sum(drawing.calls(METHODS[run.method]) for run in here)
        num_trained = sum(METHODS[run.method].trains for run in here)
        total += image * parameters.sampling.num_images * calls
        total += step * _num_steps(parameters) * num_trained
    return total


def _num_steps(parameters: Parameters) -> int:
    from pu_diffusion_pipeline.training.batches import length_in_steps

    counts = parameters.data.given_counts
    images = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
    options = parameters.training
    return length_in_steps(options.num_steps, options.num_epochs, images, options.batch_size)


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
        return build_denoiser(parameters.denoiser, data.image_size, data.channels, 0)
    denoiser, _ = load_pretrained(
        parameters.pretrained,
        image_size=data.image_size,
        channels=data.channels,
        noise=parameters.noise,
    )
    return denoiser
