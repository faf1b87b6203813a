"""Sampling from a trained denoiser: DDPM (Ho et al. 2020), DDIM (Song et al. 2020a), DPM-Solver++
of second order (Lu et al. 2022), its noise-free and its stochastic form.

Image i starts from noise that depends on the seed and on i alone: the same for every method, batch
size and device.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.compute import (
    Compute,
    autocast,
    is_out_of_memory,
    use_fast_attention,
)
from pu_diffusion_pipeline.diffusion.guidance import Away, PushedAway
from pu_diffusion_pipeline.diffusion.interfaces import NoiseScheduler, Prediction
from pu_diffusion_pipeline.diffusion.options import SamplingOptions
from pu_diffusion_pipeline.diffusion.samplers import build_sampler
from pu_diffusion_pipeline.diffusion.weights_check import refuse_nonfinite
from pu_diffusion_pipeline.images.transforms import to_uint8
from pu_diffusion_pipeline.progress import progress
from pu_diffusion_pipeline.seeding import derive_seed

if TYPE_CHECKING:
    from diffusers import SchedulerMixin, UNet2DModel

log = logging.getLogger(__name__)


def sample_images(
    denoiser: "UNet2DModel",
    noise_scheduler: NoiseScheduler,
    options: SamplingOptions,
    *,
    seed: int,
    compute: Compute,
    conditions: np.ndarray | None = None,
    title: str = "sample",
    away: Away | None = None,
) -> np.ndarray:
    """Draw images. Where a batch does not fit into memory, it is halved until it does.

    Args:
        denoiser: a trained UNet2DModel.
        noise_scheduler: the scheduler it was trained with.
        options: sampler, steps, number of images.
        seed: the run's seed.
        compute: device, precision and memory layout.
        conditions: what to ask for (Eq. 20), (num_images,) int64; None: unconditional.
        title: the text in front of the progress bar.
        away: another model that sampling is pushed away from; unconditional only.

    Returns:
        (num_images, C, H, W) uint8.
    """
    refuse_nonfinite(denoiser, "sampling")
    batches = _Batches(denoiser, noise_scheduler, options, seed, compute, conditions)
    if away is not None:
        batches.push(away)
    images = np.empty((options.num_images, *batches.shape), dtype=np.uint8)
    with (
        progress(title, options.num_images) as reporter,
        torch.inference_mode(),
        autocast(compute.device, compute.precision),
    ):
        for indices, batch in batches.in_order():
            images[indices.start : indices.stop] = batch
            reporter.update(indices.stop)
    return images


class _Batches:
    """The batches of `sample_images`, whose arguments it takes."""

    def __init__(
        self,
        denoiser: "UNet2DModel",
        noise_scheduler: NoiseScheduler,
        options: SamplingOptions,
        seed: int,
        compute: Compute,
        conditions: np.ndarray | None,
    ) -> None:
        layout = torch.channels_last if compute.channels_last else torch.contiguous_format
        self.options = options
        self.seed = seed
        self.conditions = conditions
        self.memory_format = layout
        self.denoiser = denoiser.to(compute.device, memory_format=layout).eval()
        use_fast_attention(self.denoiser, compute.device)
        self.sampler = build_sampler(noise_scheduler, options.sampler, options.sigmas)
        size = self.denoiser.config["sample_size"]
        self.shape = (self.denoiser.config["in_channels"], size, size)
        self.compute = compute
        self.away: Away | None = None

    def push(self, away: Away) -> None:
        """From now on sample away from another model."""
        refuse_nonfinite(away.denoiser, "sampling")
        there = away.denoiser.to(self.compute.device, memory_format=self.memory_format).eval()
        use_fast_attention(there, self.compute.device)
        self.away = away._replace(denoiser=there)

    def in_order(self) -> Iterator[tuple[range, np.ndarray]]:
        """The indices of each batch and its images; smaller batches where memory runs out."""
        batch_size = self.options.batch_size
        start = 0
        while start < self.options.num_images:
            indices = range(start, min(start + batch_size, self.options.num_images))
            try:
                batch = self._sample(indices)
            except RuntimeError as error:
                if len(indices) == 1 or not is_out_of_memory(error):
                    raise
                batch_size = -(-len(indices) // 2)
                message = "%d images at a time do not fit into memory: going on with %d"
                log.warning(message, len(indices), batch_size)
                continue
            yield indices, batch
            start = indices.stop

    def _sample(self, indices: range) -> np.ndarray:
        """(len(indices), C, H, W) uint8."""
        guided: UNet2DModel | Guided | PushedAway = self.denoiser
        if self.away is not None:
            guided = PushedAway(self.denoiser, self.away)
        if self.conditions is not None:
            asked = self.conditions[indices.start : indices.stop]
            guided = Guided(self.denoiser, asked, self.options.guidance)
        starting_noise = _starting_noise(self.seed, indices, self.shape, self.memory_format)
        return _sample_batch(guided, self.sampler, self.options.num_steps, starting_noise)


def balanced_conditions(num_images: int, num_conditions: int | None) -> np.ndarray | None:
    """(num_images,) int64: every condition in turn, so that all are asked for equally often.

    None if `num_conditions` is None: unconditional.
    """
    if num_conditions is None:
        return None
    return np.arange(num_images, dtype=np.int64) % num_conditions


class Guided:
    """A conditional denoiser under classifier-free guidance (Ho & Salimans 2022).

    It predicts none + scale (asked - none).

    Args:
        denoiser: a UNet2DModel whose last class stands for none.
        conditions: (B,) int64 of the batch.
        scale: 1 is the plain conditional denoiser.
    """

    def __init__(self, denoiser: "UNet2DModel", conditions: np.ndarray, scale: float) -> None:
        self.denoiser = denoiser
        self.scale = scale
        self.device = denoiser.device
        self.asked = torch.from_numpy(np.asarray(conditions)).to(self.device)
        self.none = torch.full_like(self.asked, denoiser.config["num_class_embeds"] - 1)

    def __call__(
        self, noisy_images: Tensor, timestep: Tensor, /, **conditions: Tensor
    ) -> Prediction:
        """As the denoiser."""
        if self.scale == 1:
            return self.denoiser(noisy_images, timestep, class_labels=self.asked)
        both = self.denoiser(
            noisy_images.repeat(2, 1, 1, 1),
            timestep,
            class_labels=torch.cat([self.asked, self.none]),
        )
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
    generators = [
        torch.Generator().manual_seed(derive_seed(seed, "starting_noise", index))
        for index in indices
    ]
    noisy_images = torch.stack(
        [torch.randn(shape, generator=generator) for generator in generators]
    )
    return StartingNoise(noisy_images.contiguous(memory_format=memory_format), generators)


def _sample_batch(
    denoiser: "UNet2DModel | Guided | PushedAway",
    sampler: "SchedulerMixin",
    num_steps: int,
    starting_noise: StartingNoise,
) -> np.ndarray:
    noisy_images, generators = starting_noise
    noisy_images = noisy_images.to(denoiser.device)
    sampler.set_timesteps(num_steps)
    # Rounded Karras sigmas can name a timestep twice: the sampler must count, not look it up.
    if hasattr(sampler, "set_begin_index"):
        sampler.set_begin_index(0)
    for timestep in sampler.timesteps:
        predicted = denoiser(noisy_images, timestep).sample.float()
        noisy_images = _step(sampler, predicted, timestep, noisy_images, generators)
    return to_uint8(noisy_images).cpu().numpy()


def _step(
    sampler: "SchedulerMixin",
    predicted: Tensor,
    timestep: Tensor,
    noisy_images: Tensor,
    generators: list[torch.Generator],
) -> Tensor:
    # DDIM with eta 0 and DPM-Solver++ draw nothing; the others draw from each image's own stream.
    return sampler.step(predicted, timestep, noisy_images, generator=generators).prev_sample
