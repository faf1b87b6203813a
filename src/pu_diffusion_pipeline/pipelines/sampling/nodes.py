"""Nodes of sampling."""

from typing import TYPE_CHECKING, Any

from pu_diffusion_pipeline.diffusion.options import (
    ComputeOptions,
    GuidingOptions,
    SamplingOptions,
)
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.positive_unlabeled.options import FilteringOptions

if TYPE_CHECKING:
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier

Record = dict[str, object]


def sample_model(
    model: "DDPMPipeline",
    training_manifest: Record,
    sampling: SamplingOptions,
    compute: ComputeOptions,
    num_conditions: int | None,
    seed: int,
    **drawn: Any,
) -> ImageSet:
    """Sample a trained model.

    `drawn`: `away`, as in `sample_images`.
    """
    from pu_diffusion_pipeline.diffusion.compute import resolve_compute
    from pu_diffusion_pipeline.diffusion.sampler import balanced_conditions, sample_images

    title = f"sample {training_manifest['method']}"
    conditions = balanced_conditions(sampling.num_images, num_conditions)
    how: dict[str, Any] = {"seed": seed, "compute": resolve_compute(compute), "title": title}
    how |= {"conditions": conditions, **drawn}
    images = sample_images(model.unet, model.scheduler, sampling, **how)
    return ImageSet(images, {"training": training_manifest}, conditions)


def sample_guided(
    other: "DDPMPipeline", guiding: GuidingOptions, *, method: str, **plain: Any
) -> ImageSet:
    """Sample a model while pushing it away from another one.

    `plain`: the arguments of `sample_model`.
    """
    from pu_diffusion_pipeline.diffusion.guidance import Away
    from pu_diffusion_pipeline.diffusion.weights_check import weights_digest

    plain["training_manifest"] = {**plain["training_manifest"], "method": method}
    away = Away.from_model(other, plain["model"], guiding)
    drawn = sample_model(**plain, away=away)
    return ImageSet(drawn.images, {**drawn.manifest, "away_from": weights_digest(other.unet)})


def sample_filtered(
    sensitivity: "SensitivityClassifier",
    filtering: FilteringOptions,
    sampling: SamplingOptions,
    *,
    method: str,
    **plain: Any,
) -> ImageSet:
    """Sample a model, and draw anew what is most probably sensitive.

    `plain`: the other arguments of `sample_model`.
    """
    from pu_diffusion_pipeline.positive_unlabeled.cleaning import least_sensitive, num_to_draw

    plain["training_manifest"] = {**plain["training_manifest"], "method": method}
    more = num_to_draw(sampling.num_images, filtering.share)
    drawn = sample_model(sampling=sampling.model_copy(update={"num_images": more}), **plain)
    kept = least_sensitive(sensitivity, drawn.images, sampling.num_images)
    filtered = {"num_drawn": more, "num_dropped": more - len(kept)}
    return ImageSet(drawn.images[kept], {**drawn.manifest, "filtered": filtered})
