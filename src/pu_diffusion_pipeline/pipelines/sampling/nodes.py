"""Nodes of sampling."""

from typing import TYPE_CHECKING, Any

from pu_diffusion_pipeline.diffusion.options import ComputeOptions, SamplingOptions
from pu_diffusion_pipeline.images.image_set import ImageSet

if TYPE_CHECKING:
    from diffusers import DDPMPipeline


def sample_model(
    model: "DDPMPipeline",
    training_manifest: dict[str, object],
    sampling: SamplingOptions,
    compute: ComputeOptions,
    num_conditions: int | None,
    seed: int,
) -> ImageSet:
    """Samples of a trained model, saved once as uint8."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_compute
    from pu_diffusion_pipeline.diffusion.sampler import balanced_conditions, sample_images

    title = f"sample {training_manifest['method']}"
    conditions = balanced_conditions(sampling.num_images, num_conditions)
    how: dict[str, Any] = {"seed": seed, "compute": resolve_compute(compute), "title": title}
    images = sample_images(model.unet, model.scheduler, sampling, conditions=conditions, **how)
    return ImageSet(images, {"training": training_manifest}, conditions)
