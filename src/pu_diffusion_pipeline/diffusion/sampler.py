"""Sampling from a trained denoiser: DDPM (Ho et al. 2020), DDIM (Song et al. 2020a), DPM-Solver++
of second order (Lu et al. 2022), its noise-free and its stochastic form.

Image i starts from noise that depends on the seed and on i alone: the same for every method, batch size and device.
"""

import logging
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.console import reporting
from pu_diffusion_pipeline.diffusion.compute import autocast, is_out_of_memory, use_fast_attention
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.transforms import to_uint8
from pu_diffusion_pipeline.parameters import Sampling
from pu_diffusion_pipeline.seeding import derive_seed

log = logging.getLogger(__name__)


def sample_images(
    denoiser: Any,
    noise_scheduler: Any,
    settings: Sampling,
    *,
    seed: int,
    device: str,
    precision: str,
    conditions: np.ndarray | None = None,
    channels_last: bool = False,
    title: str = "sample",
) -> np.ndarray:
    """Draw images. Where a batch does not fit into memory, it is halved until it does.

    Args:
        denoiser: a trained UNet2DModel.
        noise_scheduler: the scheduler it was trained with.
        settings: sampler, steps, number of images.
        seed: the run's seed.
        device: cuda, mps or cpu.
        precision: fp32, bf16 or fp16.
        conditions: (num_images,) int64, what to ask for (Eq. 20); None for an unconditional denoiser.
        channels_last: keep images and weights in this memory layout.
        title: stands before the progress bar.

    Returns:
        (num_images, C, H, W) uint8.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    denoiser = denoiser.to(device, memory_format=memory_format).eval()
    use_fast_attention(denoiser, device)
    sampler = build_sampler(noise_scheduler, settings.sampler, settings.karras_sigmas)
    shape = (denoiser.config.in_channels, denoiser.config.sample_size, denoiser.config.sample_size)
    images = np.empty((settings.num_images, *shape), dtype=np.uint8)
    with reporting(title, settings.num_images) as reporter, torch.inference_mode(), autocast(device, precision):
        start, batch_size = 0, settings.batch_size
        while start < settings.num_images:
            indices = range(start, min(start + batch_size, settings.num_images))
            asked = None if conditions is None else conditions[start : indices.stop]
            guided = denoiser if asked is None else Guided(denoiser, asked, settings.guidance)
            starting_noise = _starting_noise(seed, indices, shape, memory_format)
            try:
                images[start : indices.stop] = _sample_batch(guided, sampler, settings.num_steps, starting_noise)
            except RuntimeError as error:
                if len(indices) == 1 or not is_out_of_memory(error):
                    raise
                batch_size = -(-len(indices) // 2)
                log.warning("%d images at a time do not fit into memory: going on with %d", len(indices), batch_size)
                continue
            start = indices.stop
            reporter.update(start)
    return images


def balanced_conditions(num_images: int, num_conditions: int | None) -> np.ndarray | None:
    """(num_images,) int64: every condition in turn, so that all are asked for equally often; None: unconditional."""
    return None if num_conditions is None else np.arange(num_images, dtype=np.int64) % num_conditions


class Guided:
    """A conditional denoiser under classifier-free guidance (Ho & Salimans 2022): none + scale (asked - none).

    Args:
        denoiser: a UNet2DModel whose last class stands for none.
        conditions: (B,) int64 of the batch.
        scale: 1 is the plain conditional denoiser.
    """

    def __init__(self, denoiser: Any, conditions: np.ndarray, scale: float) -> None:
        self.denoiser, self.scale, self.device = denoiser, scale, denoiser.device
        self.asked = torch.from_numpy(np.asarray(conditions)).to(self.device)
        self.none = torch.full_like(self.asked, denoiser.config.num_class_embeds - 1)

    def __call__(self, noisy_images: Tensor, timestep: Tensor) -> Any:
        """As the denoiser: an object with `sample`."""
        if self.scale == 1:
            return self.denoiser(noisy_images, timestep, class_labels=self.asked)
        both = self.denoiser(noisy_images.repeat(2, 1, 1, 1), timestep, class_labels=torch.cat([self.asked, self.none]))
        asked, none = both.sample.chunk(2)
        both.sample = none + self.scale * (asked - none)
        return both


class StartingNoise(NamedTuple):
    """Where some images start, and the random streams they go on with."""

    noisy_images: Tensor
    generators: list[torch.Generator]


def _starting_noise(
    seed: int, indices: range, shape: tuple[int, ...], memory_format: torch.memory_format
) -> StartingNoise:
    generators = [torch.Generator().manual_seed(derive_seed(seed, "starting_noise", index)) for index in indices]
    noisy_images = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return StartingNoise(noisy_images.contiguous(memory_format=memory_format), generators)


def _sample_batch(denoiser: Any, sampler: Any, num_steps: int, starting_noise: StartingNoise) -> np.ndarray:
    noisy_images, generators = starting_noise
    noisy_images = noisy_images.to(denoiser.device)
    sampler.set_timesteps(num_steps)
    if hasattr(sampler, "set_begin_index"):  # rounded Karras sigmas can name a timestep twice: count, do not look it up
        sampler.set_begin_index(0)
    for timestep in sampler.timesteps:
        predicted = denoiser(noisy_images, timestep).sample.float()
        noisy_images = _step(sampler, predicted, timestep, noisy_images, generators)
    return to_uint8(noisy_images).cpu().numpy()


def _step(
    sampler: Any, predicted: Tensor, timestep: Tensor, noisy_images: Tensor, generators: list[torch.Generator]
) -> Tensor:
    # DDIM with eta 0 and DPM-Solver++ draw nothing; the others draw from each image's own stream.
    return sampler.step(predicted, timestep, noisy_images, generator=generators).prev_sample


def build_sampler(noise_scheduler: Any, name: str, karras_sigmas: bool = False) -> Any:
    """The diffusers scheduler of a sampler, with the forward process of `noise_scheduler`."""
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    config = noise_scheduler.config
    # The cosine schedule's log-SNR runs to minus infinity; diffusers documents this bound for it.
    clipping = {"lambda_min_clipped": -5.1} if config.beta_schedule == "squaredcos_cap_v2" else {}

    def dpm_solver(algorithm_type: str) -> Any:
        return DPMSolverMultistepScheduler.from_config(
            config, algorithm_type=algorithm_type, use_karras_sigmas=karras_sigmas, **clipping
        )

    builders = {
        "ddpm": lambda: DDPMScheduler.from_config(config),
        "ddim": lambda: DDIMScheduler.from_config(config),
        "dpm_solver++": lambda: dpm_solver("dpmsolver++"),
        "sde_dpm_solver++": lambda: dpm_solver("sde-dpmsolver++"),
    }
    if name not in builders:
        raise InvalidInput(f"sampling.sampler must be one of {', '.join(builders)}, got {name!r}")
    return builders[name]()
