"""Where training starts: random weights, or a model that was trained before."""

from typing import TYPE_CHECKING

from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.options import DenoiserOptions, NoiseOptions
from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained
from pu_diffusion_pipeline.diffusion.weights_check import weights_digest
from pu_diffusion_pipeline.images.options import DataOptions

if TYPE_CHECKING:
    from diffusers import DDPMPipeline


def random_start(
    denoiser: DenoiserOptions, noise: NoiseOptions, data: DataOptions, seed: int
) -> "DDPMPipeline":
    """A freshly initialised denoiser, whose weights depend on the seed alone.

    Args:
        denoiser: its shape.
        noise: the forward process.
        data: size, channels and number of conditions of the images.
        seed: the run's seed.
    """
    from diffusers import DDPMPipeline

    unet = build_denoiser(denoiser, data.image_size, data.channels, seed, data.num_conditions)
    return DDPMPipeline(unet=unet, scheduler=build_noise_scheduler(**noise.model_dump()))


def load_start(pretrained: str, noise: NoiseOptions, data: DataOptions) -> "DDPMPipeline":
    """A published model.

    Args:
        pretrained: a diffusers folder or a hub id.
        noise: the forward process, with which the model's own must agree.
        data: size, channels and number of conditions of the images, likewise.

    Raises:
        InvalidInput: it is missing, unsafe to read, or does not fit.
    """
    from diffusers import DDPMPipeline

    unet, scheduler = load_pretrained(
        pretrained,
        image_size=data.image_size,
        channels=data.channels,
        noise=noise,
        num_conditions=data.num_conditions,
    )
    return DDPMPipeline(unet=unet, scheduler=scheduler)


def initial_record(model: "DDPMPipeline", seed: int) -> dict[str, object]:
    """The manifest of a model that was not trained here, with the keys of a training's."""
    return {
        "method": "pretrained",
        "beta": None,
        "seed": seed,
        "device": "cpu",
        "precision": "fp32",
        "num_steps": 0,
        "num_parameters": sum(weight.numel() for weight in model.unet.parameters()),
        "weights_digest": weights_digest(model.unet),
        "seconds": 0.0,
    }
