"""How long a training takes on this machine."""

import time
from typing import TYPE_CHECKING

import torch

from pu_diffusion_pipeline.diffusion.compute import autocast, resolve_device, resolve_precision
from pu_diffusion_pipeline.diffusion.options import ComputeOptions
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.training.batches import length_in_steps
from pu_diffusion_pipeline.training.optimizers import build_optimizer
from pu_diffusion_pipeline.training.options import TrainingOptions

if TYPE_CHECKING:
    from diffusers import UNet2DModel

REPEATS = 3  # the fastest counts
MOST_IMAGES = 64  # timed at once; the cost of a step grows linearly with the batch


def training_seconds(
    denoiser: "UNet2DModel",
    num_images: int,
    data: DataOptions,
    training: TrainingOptions,
    compute: ComputeOptions,
) -> float:
    """Seconds of one training, from a few steps timed now.

    Args:
        denoiser: of the size that is trained; moved to the device.
        num_images: of U and S.
        data: size and channels of the images.
        training: its length and batches.
        compute: where and how precisely.
    """
    length = length_in_steps(
        training.num_steps, training.num_epochs, num_images, training.batch_size
    )
    return length * time_step(denoiser, data, training, compute)[0]


def time_step(
    denoiser: "UNet2DModel", data: DataOptions, training: TrainingOptions, compute: ComputeOptions
) -> tuple[float, float]:
    """Seconds of a training step, and of denoising one image once, timed on black images.

    As many images at once as a process computes; the weights are moved. Arguments as for
    `training_seconds`.
    """
    device = resolve_device(compute.device)
    precision = resolve_precision(compute.precision, device)
    denoiser = denoiser.to(device)
    processes = training.num_processes if isinstance(training.num_processes, int) else 1
    count = min(MOST_IMAGES, training.batch_size // (processes * training.micro_batches))
    images = torch.zeros(count, data.channels, data.image_size, data.image_size, device=device)
    timesteps = torch.zeros(count, dtype=torch.long, device=device)
    conditions = None if denoiser.config.num_class_embeds is None else timesteps
    optimizer = build_optimizer(denoiser, training)
    forward = []
    both = []
    moving = []
    with torch.random.fork_rng():  # a denoiser may have dropout
        for _ in range(REPEATS):
            begun = time.perf_counter()
            with autocast(device, precision):
                predicted = denoiser(images, timesteps, class_labels=conditions).sample
                error = predicted.float().square().sum()
            float(error.detach())  # waits until the device is done
            forward.append(time.perf_counter() - begun)
            error.backward()
            if (gradient := next(denoiser.parameters()).grad) is not None:
                float(gradient.sum())  # waits again
            both.append(time.perf_counter() - begun)
            optimizer.step()
            float(next(denoiser.parameters()).detach().sum())  # and again
            moving.append(time.perf_counter() - begun - both[-1])
    return min(both) / count * training.batch_size + min(moving), min(forward) / count
