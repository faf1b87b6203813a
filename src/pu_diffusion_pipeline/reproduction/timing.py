"""How long runs take on this machine."""

import time
from collections.abc import Sequence
from pathlib import Path

from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.parameters import Parameters
from pu_diffusion_pipeline.reproduction.runs import Run, open_loader


def estimate_seconds(runs: Sequence[Run], project: Path) -> float:
    """How long the runs take on this machine: from a few steps timed now."""
    total = 0.0
    for benchmark in dict.fromkeys(run.benchmark for run in runs):
        here = [run for run in runs if run.benchmark == benchmark]
        checked = open_loader(project / "conf", benchmark, here[0].parameters).checked_parameters()
        step, image = time_step(checked)
        length = _num_steps(checked)
        sampling = image * checked.sampling.num_images * checked.sampling.num_steps
        total += sum(sampling + (step * length if METHODS[run.method].trains else 0) for run in here)
    return total


def _num_steps(checked: Parameters) -> int:
    from pu_diffusion_pipeline.diffusion.batches import length_in_steps

    counts = checked.data.counts
    images = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
    return length_in_steps(checked.training.num_steps, checked.training.num_epochs, images, checked.training.batch_size)


def time_step(checked: Parameters, most_images: int = 64) -> tuple[float, float]:
    """Seconds of a training step, and of denoising one image once, by timing both on random images.

    Args:
        checked: the parameters of the run.
        most_images: at most so many images are timed; a step's cost grows linearly with the batch.
    """
    import torch

    from pu_diffusion_pipeline.diffusion.compute import autocast, resolve_device, resolve_precision
    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
    from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained

    device = resolve_device(checked.compute.device)
    count = min(most_images, checked.training.batch_size)
    data = checked.data
    if checked.pretrained is None:
        denoiser = build_denoiser(checked.denoiser, data.image_size, data.channels, 0)
    else:
        denoiser, _ = load_pretrained(
            checked.pretrained, image_size=data.image_size, channels=data.channels, noise=checked.noise
        )
    denoiser = denoiser.to(device)
    images = torch.randn(count, data.channels, data.image_size, data.image_size, device=device)
    timesteps = torch.zeros(count, dtype=torch.long, device=device)
    forward, both = [], []
    for _ in range(3):
        begun = time.perf_counter()
        with autocast(device, resolve_precision(checked.compute.precision, device)):
            error = denoiser(images, timesteps).sample.float().square().sum()
        float(error.detach())
        forward.append(time.perf_counter() - begun)
        error.backward()
        float(next(denoiser.parameters()).grad.sum())  # type: ignore[union-attr]
        both.append(time.perf_counter() - begun)
    return min(both) / count * checked.training.batch_size, min(forward) / count
