"""How long runs take on this machine."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.reproduction.plan import Run, configuration

if TYPE_CHECKING:
    from torch import nn

REPEATS = 3  # the fastest counts
MOST_IMAGES = 64  # timed at once; the cost of a step grows linearly with the batch


def estimate_seconds(runs: Sequence[Run], project: Path) -> float:
    """How long the runs take on this machine: from a few steps timed now."""
    total = 0.0
    for benchmark in dict.fromkeys(run.benchmark for run in runs):
        here = [run for run in runs if run.benchmark == benchmark]
        parameters = configuration(project, benchmark, here[0].parameters).final_parameters()
        step, image = time_step(parameters)
        sampling = image * parameters.sampling.num_images * parameters.sampling.num_steps
        training = step * _num_steps(parameters)
        num_trained = sum(METHODS[run.method].trains for run in here)
        total += sampling * len(here) + training * num_trained
    return total


def _num_steps(parameters: Parameters) -> int:
    from pu_diffusion_pipeline.training.batches import length_in_steps

    counts = parameters.data.given_counts
    images = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
    options = parameters.training
    return length_in_steps(options.num_steps, options.num_epochs, images, options.batch_size)


def time_step(parameters: Parameters) -> tuple[float, float]:
    """Seconds of a training step, and of denoising one image once, timed on random images."""
    import torch

    from pu_diffusion_pipeline.diffusion.compute import autocast, resolve_device, resolve_precision

    device = resolve_device(parameters.compute.device)
    precision = resolve_precision(parameters.compute.precision, device)
    denoiser = _denoiser(parameters).to(device)
    batch_size = parameters.training.batch_size
    data = parameters.data
    count = min(MOST_IMAGES, batch_size)
    images = torch.randn(count, data.channels, data.image_size, data.image_size, device=device)
    timesteps = torch.zeros(count, dtype=torch.long, device=device)
    forward = []
    both = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        with autocast(device, precision):
            error = denoiser(images, timesteps).sample.float().square().sum()
        float(error.detach())  # waits until the device is done
        forward.append(time.perf_counter() - begun)
        error.backward()
        if (gradient := next(denoiser.parameters()).grad) is not None:
            float(gradient.sum())  # waits again
        both.append(time.perf_counter() - begun)
    return min(both) / count * batch_size, min(forward) / count


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
