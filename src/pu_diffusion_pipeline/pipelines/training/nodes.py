"""Nodes of training."""

from typing import Any

import pandas as pd

from pu_diffusion_pipeline.identity import check_settings, code_digest, digest, environment, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import Parameters, load_parameters


def train_denoiser(
    unlabeled: ImageSet,
    labeled_sensitive: ImageSet,
    checkpoints: Any,
    parameters: dict[str, Any],
    beta: dict[str, Any] | None = None,
    *,
    method: str,
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """The trained pipeline folder, the loss and risk curves, and the manifest."""
    from diffusers import DDPMPipeline

    checked = load_parameters(parameters)
    check_settings(unlabeled.manifest["settings"], settings(checked, "split"), "The training images")
    made_with = settings(checked, "model", method)
    data_digest = digest(unlabeled.images, labeled_sensitive.images)
    checkpoints.claim(made_with, data_digest, code_digest())
    trainer = _build_trainer(checked, method, None if beta is None else beta["value"], checkpoints)
    trained = trainer.fit(unlabeled.images, labeled_sensitive.images, title=f"train {method}")
    manifest = {
        "method": method,
        "settings": made_with,
        "beta": beta,
        "seed": checked.seed,
        "data_digest": data_digest,
        "device": trainer.device.type,
        "precision": trainer.precision,
        "num_steps": trained.num_steps,
        "num_parameters": sum(weight.numel() for weight in trained.denoiser.parameters()),
        "seconds": round(trained.seconds, 2),
        **environment(),
    }
    pipeline = DDPMPipeline(unet=trained.denoiser, scheduler=trainer.noise_scheduler)
    return pipeline, pd.DataFrame(trained.history), manifest


def _build_trainer(checked: Parameters, method: str, beta: float | None, checkpoints: Any) -> Any:
    from pu_diffusion_pipeline.diffusion.compute import resolve_device, resolve_precision
    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
    from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
    from pu_diffusion_pipeline.diffusion.objectives import build_objective
    from pu_diffusion_pipeline.diffusion.trainer import Trainer
    from pu_diffusion_pipeline.parameters import METHODS

    device = resolve_device(checked.compute.device)
    return Trainer(
        build_denoiser(checked.denoiser, checked.data.image_size, checked.data.channels, checked.seed),
        build_noise_scheduler(**checked.noise.model_dump()),
        build_objective(method, beta, checked.objective.correction),
        checked.training,
        error_options={"error_space": checked.objective.error_space, "reduction": checked.objective.reduction},
        seed=checked.seed,
        device=device,
        precision=resolve_precision(checked.compute.precision, device),
        checkpoints=checkpoints,
        uses_labeled_sensitive=METHODS[method].uses_labeled_sensitive,
    )
