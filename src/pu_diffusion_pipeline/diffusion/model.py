"""A trained model to draw from: in memory, or a folder, which may come from anybody."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.compute import Compute, resolve_device
from pu_diffusion_pipeline.diffusion.options import SamplingOptions
from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained
from pu_diffusion_pipeline.diffusion.published import (
    PipelineIndex,
    SchedulerDescription,
    UNetDescription,
    read_description,
)
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.transforms import to_unit

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

UNET = ("diffusers", "UNet2DModel")
CHANNELS = (1, 3)
SAMPLER = "sde_dpm_solver++"
NUM_STEPS = 30


@dataclass(frozen=True)
class Model:
    """A denoiser and what it was trained with, to draw images from.

    Attributes:
        denoiser: diffusers' UNet2DModel, without classes.
        noise_scheduler: diffusers' DDPMScheduler that it was trained with.
    """

    denoiser: "UNet2DModel"
    noise_scheduler: "DDPMScheduler"

    def __post_init__(self) -> None:
        if self.denoiser.config["num_class_embeds"] is not None:
            raise InvalidInput("expected a model without classes; this one draws given classes")
        if not isinstance(size := self.denoiser.config["sample_size"], int):
            raise InvalidInput(
                f"denoiser: expected config.sample_size to be the side of its images, got {size}"
            )

    def sample(
        self,
        num_images: int,
        *,
        seed: int = 0,
        num_steps: int = NUM_STEPS,
        batch_size: int = 250,
        device: str = "auto",
    ) -> Tensor:
        """Draw images as the project does by default: SDE-DPM-Solver++ at Karras noise levels.

        A copy of the denoiser draws, in float32; the denoiser itself stays as it is.

        Args:
            num_images: at least 1.
            seed: image i depends on it and on i alone.
            num_steps: of the sampler, from 1 to the scheduler's time steps; 30 are fast and good.
            batch_size: images at a time.
            device: cuda, mps, cpu, or `auto`: the first of them that is there.

        Returns:
            (num_images, C, H, W) float32 in [-1, 1], in 256 steps as image files have them.

        Raises:
            InvalidInput: a number out of range, no such device, or weights that are not finite.
        """
        drawn = self.sample_uint8(
            num_images, seed=seed, num_steps=num_steps, batch_size=batch_size, device=device
        )
        return to_unit(torch.from_numpy(drawn))

    def sample_uint8(
        self, num_images: int, *, seed: int, num_steps: int, batch_size: int, device: str = "auto"
    ) -> np.ndarray:
        """As `sample`, but (num_images, C, H, W) uint8."""
        _check_range("num_images", num_images)
        _check_range("num_steps", num_steps, self.noise_scheduler.config["num_train_timesteps"])
        _check_range("batch_size", batch_size)
        options = SamplingOptions(
            num_images=max(num_images, 2),  # the options take no single image
            sampler=SAMPLER,
            num_steps=num_steps,
            karras_sigmas=True,
            guidance=1.0,
            batch_size=batch_size,
        )
        compute = Compute(resolve_device(device))
        images = sample_images(
            deepcopy(self.denoiser).float(),
            self.noise_scheduler,
            options,
            seed=seed,
            compute=compute,
        )
        return images[:num_images]


def _check_range(name: str, value: int, most: int | None = None) -> None:
    if value < 1 or (most is not None and value > most):
        expected = "at least 1" if most is None else f"1 to {most}"
        raise InvalidInput(f"{name}: expected {expected}, got {value}")


def load(folder: str | Path) -> Model:
    """Read a model: a folder that a run, `kedro export` or diffusers has written.

    Args:
        folder: of an unconditional diffusers pipeline with a UNet2DModel.

    Raises:
        InvalidInput: no such model, unsafe to read, or one that draws given classes or no
            images of 1 or 3 channels.
    """
    folder = Path(folder)
    try:
        unet, scheduler = _describe(folder)
        if unet.num_class_embeds is not None:
            raise InvalidInput(
                f"{folder} draws images of given classes; expected an unconditional model. The "
                "model card in an exported folder says how to draw from it"
            )
        if unet.in_channels not in CHANNELS:
            raise InvalidInput(f"{folder}: expected 1 or 3 channels, got {unet.in_channels}")
        denoiser, noise_scheduler = load_pretrained(
            str(folder),
            image_size=unet.sample_size,
            channels=unet.in_channels,
            noise=scheduler.noise,
        )
    except InvalidInput as error:
        raise InvalidInput(str(error).removeprefix("pretrained: ")) from error
    return Model(denoiser, noise_scheduler)


def _describe(folder: Path) -> tuple[UNetDescription, SchedulerDescription]:
    """What a model says of itself; the first published ones have all files in one folder."""
    if not (folder / "model_index.json").is_file():
        raise InvalidInput(
            f"no model in {folder}: it has no model_index.json; expected a folder that `kedro "
            "export` or diffusers has written"
        )
    index = read_description(folder / "model_index.json", PipelineIndex)
    if index.unet != UNET:
        raise InvalidInput(
            f"{folder} is a {index.pipeline} whose unet is {'.'.join(index.unet)}; expected an "
            f"unconditional pipeline with {'.'.join(UNET)}"
        )
    unet, scheduler = (
        folder / part if (folder / part).is_dir() else folder for part in ("unet", "scheduler")
    )
    return (
        read_description(unet / "config.json", UNetDescription),
        read_description(scheduler / "scheduler_config.json", SchedulerDescription),
    )
