"""Nodes of training."""

from typing import Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import check_settings, code_digest, digest, environment, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import load_parameters


def initialize_denoiser(parameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Where training starts: random weights that depend on the seed alone, or a pre-trained model."""
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
    from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
    from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained

    checked = load_parameters(parameters)
    data = checked.data
    if checked.pretrained is None:
        unet = build_denoiser(checked.denoiser, data.image_size, data.channels, checked.seed, data.num_conditions)
        scheduler = build_noise_scheduler(**checked.noise.model_dump())
    else:
        unet, scheduler = load_pretrained(
            checked.pretrained,
            image_size=data.image_size,
            channels=data.channels,
            noise=checked.noise,
            num_conditions=data.num_conditions,
        )
    manifest = {
        "method": "pretrained",
        "settings": settings(checked, "initial"),
        "beta": None,
        "seed": checked.seed,
        "num_steps": 0,
        "num_parameters": _num_parameters(unet),
        "seconds": 0.0,
        "device": "cpu",
        "precision": "fp32",
        **environment(),
    }
    return DDPMPipeline(unet=unet, scheduler=scheduler), manifest


def pretrain_denoiser(
    judge_images: ImageSet, checkpoints: Any, parameters: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """A stand-in for a published model: trained on all images of the source that are not held out, normal and
    sensitive alike, without their classes.
    """  # fmt: skip
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
    from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
    from pu_diffusion_pipeline.pipelines.training.job import Job, run_job

    checked = load_parameters(parameters)
    data, options = checked.data, checked.pretraining
    if options is None:
        raise InvalidInput(
            f"pretraining is null in benchmark {checked.benchmark}; conf/finetune/parameters.yml has an example"
        )
    check_settings(judge_images.manifest["settings"], settings(checked, "source"), "The images")
    made_with = settings(checked, "base")
    checkpoints.claim(made_with, digest(judge_images.images), code_digest())
    unet = build_denoiser(checked.denoiser, data.image_size, data.channels, options.seed)
    scheduler = build_noise_scheduler(**checked.noise.model_dump())
    job = Job(checked, options, "unsupervised", None, options.seed, unet, scheduler, "pretrain")
    trained = run_job(job, checkpoints, (judge_images.images, judge_images.images[:0]))
    manifest = {
        "settings": made_with,
        "num_steps": trained.num_steps,
        "num_parameters": _num_parameters(trained.denoiser),
        "seconds": round(trained.seconds, 2),
        **environment(),
    }
    return DDPMPipeline(unet=trained.denoiser, scheduler=scheduler), manifest


def train_denoiser(
    unlabeled: ImageSet,
    labeled_sensitive: ImageSet,
    initial_model: Any,
    checkpoints: Any,
    watch: Any,
    parameters: dict[str, Any],
    beta: dict[str, Any] | None = None,
    labeled_normal: ImageSet | None = None,
    *,
    method: str,
) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    """The trained pipeline folder, the loss and risk curves, and the manifest."""
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.pipelines.training.job import Job, run_job

    checked = load_parameters(parameters)
    sets = [part for part in (unlabeled, labeled_sensitive, labeled_normal) if part is not None]
    for part in sets:
        check_settings(part.manifest["settings"], settings(checked, "split"), "The training images")
    if labeled_normal is not None and len(labeled_normal) == 0:
        raise InvalidInput(f"data.counts.labeled_normal is 0; method {method} needs labeled normal images")
    made_with = settings(checked, "model", method)
    data_digest = digest(*(part.images for part in sets), *_conditions(sets), *_weights(initial_model.unet))
    checkpoints.claim(made_with, data_digest, code_digest())
    beta_value = None if beta is None else beta["value"]
    unet, scheduler = initial_model.unet, initial_model.scheduler
    job = Job(checked, checked.training, method, beta_value, checked.seed, unet, scheduler, f"train {method}")
    trained = run_job(job, checkpoints, tuple(part.images for part in sets), _conditions(sets) or None, watch)
    manifest = {
        "method": method,
        "settings": made_with,
        "beta": beta,
        "seed": checked.seed,
        "data_digest": data_digest,
        "device": job.device,
        "precision": job.precision,
        "num_processes": checked.training.num_processes,
        "num_steps": trained.num_steps,
        "num_parameters": _num_parameters(trained.denoiser),
        "seconds": round(trained.seconds, 2),
        **environment(),
    }
    return DDPMPipeline(unet=trained.denoiser, scheduler=scheduler), pd.DataFrame(trained.history), manifest


def _conditions(sets: list[ImageSet]) -> tuple[np.ndarray, ...]:
    return tuple(part.conditions for part in sets if part.conditions is not None)


def _weights(denoiser: Any) -> list[np.ndarray]:
    return [value.detach().cpu().numpy() for _, value in sorted(denoiser.state_dict().items())]


def _num_parameters(denoiser: Any) -> int:
    return sum(weight.numel() for weight in denoiser.parameters())
