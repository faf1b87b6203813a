"""The diffusers pipeline that a model is saved as: diffusers alone draws from it in 50 steps."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel

SIGMA_MAX = 50.0  # noise of a standard deviation of 50 times the image's leaves nothing to see


def saved_pipeline(
    denoiser: "UNet2DModel", noise_scheduler: "DDPMScheduler"
) -> "DiffusionPipeline":
    """The pipeline to save: DDIM's, which takes 50 steps by itself; DDPM's takes 1,000.

    With the cosine schedule, its scheduler also names the largest noise level for a solver with
    Karras sigmas that somebody builds from its configuration. DDIM does not read it. The
    schedule's own, 20,000, would put many steps into the last time step. diffusers looks the first
    step up by its time, takes the second of equal ones, and runs out of steps.

    Args:
        denoiser: trained here. If it takes classes, the pipeline is diffusers' only one that hands
            them on to a UNet2DModel.
        noise_scheduler: the forward process it was trained with.
    """
    from diffusers import ConsistencyModelPipeline, DDIMPipeline, DDIMScheduler

    config = noise_scheduler.config
    is_cosine = config["beta_schedule"] == "squaredcos_cap_v2"
    largest = {"sigma_max": SIGMA_MAX} if is_cosine else {}
    scheduler = DDIMScheduler.from_config({**config, **largest})
    is_conditional = denoiser.config["num_class_embeds"] is not None
    kind = ConsistencyModelPipeline if is_conditional else DDIMPipeline
    return kind(unet=denoiser, scheduler=scheduler)


def as_trained(saved: "DiffusionPipeline") -> "DDPMPipeline":
    """The model with the scheduler it was trained with, of a pipeline that was saved."""
    from diffusers import DDPMPipeline, DDPMScheduler

    config = {key: value for key, value in saved.scheduler.config.items() if key != "sigma_max"}
    return DDPMPipeline(unet=saved.unet, scheduler=DDPMScheduler.from_config(config))
