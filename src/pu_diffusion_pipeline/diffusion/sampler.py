"""Sampling from a trained denoiser: DDPM (Ho et al. 2020), DDIM (Song et al. 2020a), DPM-Solver++
of second order (Lu et al. 2022), its noise-free and its stochastic form.

Image i starts from noise that depends on the seed and on i alone: the same for every method, batch
size and device.
"""

import logging
from collections.abc import Generator
from contextlib import closing
from functools import partial
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
from pu_diffusion_pipeline.diffusion.processes import check_devices, in_processes
from pu_diffusion_pipeline.diffusion.samplers import build_sampler
from pu_diffusion_pipeline.diffusion.weights_check import refuse_nonfinite
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.transforms import to_uint8
from pu_diffusion_pipeline.progress import progress
from pu_diffusion_pipeline.seeding import derive_seed

if TYPE_CHECKING:
    from diffusers import SchedulerMixin, UNet2DModel

log = logging.getLogger(__name__)
Batch = tuple[range, np.ndarray]  # indices, and their images (B, C, H, W) uint8


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

    With `num_processes` above 1, processes draw whole batches side by side. The images are, bit for
    bit, those that one process draws with as many threads as each of them has, unless a batch was
    halved.

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

    Raises:
        InvalidInput: weights or images that are not finite, or more processes than GPUs.
        ProcessFailed: one of several processes has ended early.
    """
    drawing = Drawing(denoiser, noise_scheduler, options, seed, compute, conditions, away)
    drawing.check()
    images = np.empty((options.num_images, *drawing.shape), dtype=np.uint8)
    num_drawn = 0
    with progress(title, options.num_images) as reporter, closing(_drawn(drawing)) as batches:
        for indices, batch in batches:
            images[indices.start : indices.stop] = batch
            num_drawn += len(indices)
            reporter.update(num_drawn)
    return images


class Drawing(NamedTuple):
    """What is drawn, and how: the arguments of `sample_images`."""

    denoiser: "UNet2DModel"
    noise_scheduler: NoiseScheduler
    options: SamplingOptions
    seed: int
    compute: Compute
    conditions: np.ndarray | None
    away: Away | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        config = self.denoiser.config
        return (config["in_channels"], config["sample_size"], config["sample_size"])

    @property
    def parts(self) -> list[range]:
        """The images of each process: whole batches, as evenly as they go."""
        starts = range(0, self.options.num_images, self.options.batch_size)
        shares = np.array_split(starts, min(self.options.num_processes, len(starts)))
        firsts = [int(share[0]) for share in shares]
        return list(map(range, firsts, [*firsts[1:], self.options.num_images]))

    def check(self) -> None:
        """Refuse weights that are not finite, and more processes than devices.

        Raises:
            InvalidInput: either of them.
        """
        refuse_nonfinite(self.denoiser, "sampling")
        if self.away is not None:
            refuse_nonfinite(self.away.denoiser, "sampling")
        if self.options.num_processes > 1:
            check_devices(self.compute.device, self.options.num_processes, "sampling.num_processes")


def _drawn(drawing: Drawing) -> Generator[Batch, None, None]:
    """All batches: in order, or as they come from several processes."""
    parts = drawing.parts
    if len(parts) == 1:
        return _draw(drawing, parts[0])
    return in_processes(partial(_draw, drawing), parts, drawing.compute.device)


def _draw(drawing: Drawing, part: range) -> Generator[Batch, None, None]:
    """The batches of some of the images, in this process."""
    return _Batches(drawing).in_order(part)


class _Batches:
    """The batches of a drawing; its denoisers are moved to the device."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.denoiser = self._ready(drawing.denoiser)
        self.away = drawing.away
        if self.away is not None:
            self.away = self.away._replace(denoiser=self._ready(self.away.denoiser))
        options = drawing.options
        self.sampler = build_sampler(
            drawing.noise_scheduler, options.sampler, options.sigmas, options.num_steps
        )

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and weights."""
        channels_last = self.drawing.compute.channels_last
        return torch.channels_last if channels_last else torch.contiguous_format

    def _ready(self, denoiser: "UNet2DModel") -> "UNet2DModel":
        device = self.drawing.compute.device
        denoiser = denoiser.to(device, memory_format=self.memory_format).eval()
        use_fast_attention(denoiser, device)
        return denoiser

    def in_order(self, part: range) -> Generator[Batch, None, None]:
        """The batches of a part; smaller ones where memory runs out."""
        batch_size = self.drawing.options.batch_size
        start = part.start
        while start < part.stop:
            indices = range(start, min(start + batch_size, part.stop))
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
        asked_of: UNet2DModel | Guided | PushedAway = self.denoiser
        if self.away is not None:
            asked_of = PushedAway(self.denoiser, self.away)
        options, seed, compute = self.drawing.options, self.drawing.seed, self.drawing.compute
        if self.drawing.conditions is not None:
            conditions = self.drawing.conditions[indices.start : indices.stop]
            asked_of = Guided(self.denoiser, conditions, options.guidance)
        noise = _starting_noise(seed, indices, self.drawing.shape, self.memory_format)
        with torch.inference_mode(), autocast(compute.device, compute.precision):
            return _sample_batch(asked_of, self.sampler, options.num_steps, noise)


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
    if not bool(torch.isfinite(noisy_images).all()):
        raise InvalidInput(
            f"sampling: {num_steps} steps of {type(sampler).__name__} give images that are not "
            "finite; take fewer steps, or the precision fp32"
        )
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
