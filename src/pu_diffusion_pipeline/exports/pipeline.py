"""The diffusers pipeline that is exported: a loop of diffusers' own around our denoiser."""

from typing import TYPE_CHECKING

from pu_diffusion_pipeline.diffusion.samplers import build_sampler

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DModel

SAMPLER = "sde_dpm_solver++"
USUAL_STEPS = 30


def exported_pipeline(
    denoiser: "UNet2DModel", noise_scheduler: "DDPMScheduler"
) -> "DiffusionPipeline":
    """The pipeline to save.

    Its scheduler takes steps that are evenly spaced in time and all differ. diffusers' pipelines
    look the first step up by its time, so Karras sigmas, which name one several times, fail there.

    Args:
        denoiser: trained here. If it takes classes, the pipeline is diffusers' only one that hands
            them on to a UNet2DModel.
        noise_scheduler: the forward process it was trained with.
    """
    from diffusers import ConsistencyModelPipeline, DDPMPipeline

    solver = build_sampler(noise_scheduler, SAMPLER)
    scheduler = type(solver).from_config(
        solver.config,
        timestep_spacing="trailing",
        variance_type=noise_scheduler.config["variance_type"],  # else None, which few can read
    )
    is_conditional = denoiser.config["num_class_embeds"] is not None
    kind = ConsistencyModelPipeline if is_conditional else DDPMPipeline
    return kind(unet=denoiser, scheduler=scheduler)


def usual_steps(noise_scheduler: "DDPMScheduler") -> int:
    """A number of steps that gives good images, for examples."""
    return min(USUAL_STEPS, noise_scheduler.config["num_train_timesteps"] // 2)
