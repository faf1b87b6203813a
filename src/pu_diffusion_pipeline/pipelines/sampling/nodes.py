"""Nodes of sampling."""

from typing import Any

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import check_settings, digest, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.parameters import load_parameters


def sample_model(model: Any, training_manifest: dict[str, Any], parameters: dict[str, Any]) -> ImageSet:
    """Samples of a trained model, saved once as uint8."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device, resolve_precision
    from pu_diffusion_pipeline.diffusion.sampler import balanced_conditions, sample_images

    checked, method = load_parameters(parameters), training_manifest["method"]
    if method == "pretrained" and checked.pretrained is None:
        raise InvalidInput("pretrained is null: this benchmark starts from random weights, there is nothing to sample")
    stage = "model" if METHODS[method].trains else "initial"
    check_settings(training_manifest["settings"], settings(checked, stage, method), f"The {method} model")
    device = resolve_device(checked.compute.device)
    conditions = balanced_conditions(checked.sampling.num_images, checked.data.num_conditions)
    images = sample_images(
        model.unet,
        model.scheduler,
        checked.sampling,
        seed=checked.seed,
        device=device,
        precision=resolve_precision(checked.compute.precision, device),
        conditions=conditions,
        channels_last=checked.compute.channels_last,
        title=f"sample {method}",
    )
    manifest = {
        "settings": settings(checked, "samples", method),
        "sha256": digest(images),
        "training": training_manifest,
    }
    return ImageSet(images, manifest, conditions)
