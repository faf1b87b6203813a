"""Draw images from a model's folder, which may come from anybody, into PNG files."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pu_diffusion_pipeline.atomic_write import atomic_write
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
from pu_diffusion_pipeline.exports.new_folder import refuse_bad_place
from pu_diffusion_pipeline.exports.pipeline import SAMPLER

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

UNET = ("diffusers", "UNet2DModel")
CHANNELS = (1, 3)


def draw_to_folder(
    model: Path, to: Path, *, num: int, seed: int, steps: int, batch_size: int
) -> None:
    """Draw images with the sampler of the default parameters, in fp32.

    Args:
        model: the folder of an unconditional diffusers model with a UNet2DModel.
        to: a new or empty folder; it gets 00000.png, 00001.png, ...
        num: of images, at least 1.
        seed: image i depends on it and on i alone.
        steps: of the sampler.
        batch_size: images at a time.

    Raises:
        InvalidInput: no such model, unsafe to read, conditional, more steps than it knows; or
            `to` cannot become a new folder.
    """
    refuse_bad_place(to, "--to", empty_is_new=True)
    denoiser, noise_scheduler = _load(model)
    known = noise_scheduler.config["num_train_timesteps"]
    if steps > known:
        raise InvalidInput(f"--steps: expected at most {known}, as the model knows, got {steps}")
    options = SamplingOptions(
        num_images=max(num, 2),  # the options take no single image
        sampler=SAMPLER,
        num_steps=steps,
        karras_sigmas=True,
        guidance=1.0,
        batch_size=batch_size,
    )
    compute = Compute(resolve_device("auto"))
    images = sample_images(denoiser, noise_scheduler, options, seed=seed, compute=compute)
    with atomic_write(to) as temporary:
        temporary.mkdir()
        for index, image in enumerate(images[:num]):
            _to_picture(image).save(temporary / f"{index:05d}.png")


def _load(folder: Path) -> "tuple[UNet2DModel, DDPMScheduler]":
    try:
        unet, scheduler = _describe(folder)
        _refuse_unfit(folder, unet)
        side, channels = unet.sample_size, unet.in_channels
        return load_pretrained(
            str(folder), image_size=side, channels=channels, noise=scheduler.noise
        )
    except InvalidInput as error:
        raise InvalidInput(str(error).removeprefix("pretrained: ")) from error


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


def _refuse_unfit(folder: Path, unet: UNetDescription) -> None:
    """Refuse a model that makes no images, or those of given classes only."""
    if unet.num_class_embeds is not None:
        raise InvalidInput(
            f"{folder} draws images of given classes; sample-images takes unconditional models "
            "only. The model card in that folder says how to draw from it"
        )
    if unet.in_channels not in CHANNELS:
        raise InvalidInput(f"{folder}: expected 1 or 3 channels, got {unet.in_channels}")


def _to_picture(image: np.ndarray) -> Image.Image:
    """A picture of (C, H, W) uint8."""
    pixels = image.transpose(1, 2, 0)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
