"""Positive-unlabeled diffusion models: a library, and a Kedro project that reproduces the paper.

Train with the PU risk on two tensors of images, (N, C, H, W) float32 in [-1, 1]: `sensitive`, and
`unlabeled`, a tenth of which is sensitive too.

    import torch
    from diffusers import DDPMScheduler, UNet2DModel
    import pu_diffusion_pipeline as pu

    images = torch.cat([unlabeled, sensitive])
    labels = torch.tensor([pu.UNLABELED] * len(unlabeled) + [pu.LABELED_SENSITIVE] * len(sensitive))
    denoiser = UNet2DModel(sample_size=32, in_channels=3, out_channels=3)
    noise_scheduler = DDPMScheduler()
    objective = pu.PositiveUnlabeled(beta=0.1)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-4)
    for rows in torch.randint(len(images), (num_steps, 64)):
        noise = torch.randn_like(images[rows])
        timesteps = torch.randint(1000, (64,))
        error = pu.denoising_error(denoiser, noise_scheduler, images[rows], noise, timesteps)
        loss, risks = objective(error, labels[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pu_diffusion_pipeline.diffusion.model import Model, load
    from pu_diffusion_pipeline.diffusion.noising import denoising_error
    from pu_diffusion_pipeline.diffusion.objectives import (
        PositiveUnlabeled,
        Supervised,
        Unsupervised,
    )
    from pu_diffusion_pipeline.positive_unlabeled.best_bin import estimate_class_prior
    from pu_diffusion_pipeline.positive_unlabeled.labels import (
        LABELED_NORMAL,
        LABELED_SENSITIVE,
        UNLABELED,
    )
    from pu_diffusion_pipeline.positive_unlabeled.scores import cross_fitted_scores
    from pu_diffusion_pipeline.positive_unlabeled.split import split_images

__version__ = "0.1.0"

# Imported at first use: `import pu_diffusion_pipeline` must not import torch.
_MODULES = {
    "Model": "diffusion.model",
    "load": "diffusion.model",
    "denoising_error": "diffusion.noising",
    "PositiveUnlabeled": "diffusion.objectives",
    "Supervised": "diffusion.objectives",
    "Unsupervised": "diffusion.objectives",
    "estimate_class_prior": "positive_unlabeled.best_bin",
    "LABELED_NORMAL": "positive_unlabeled.labels",
    "LABELED_SENSITIVE": "positive_unlabeled.labels",
    "UNLABELED": "positive_unlabeled.labels",
    "cross_fitted_scores": "positive_unlabeled.scores",
    "split_images": "positive_unlabeled.split",
}

__all__ = [
    "LABELED_NORMAL",
    "LABELED_SENSITIVE",
    "UNLABELED",
    "Model",
    "PositiveUnlabeled",
    "Supervised",
    "Unsupervised",
    "cross_fitted_scores",
    "denoising_error",
    "estimate_class_prior",
    "load",
    "split_images",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
