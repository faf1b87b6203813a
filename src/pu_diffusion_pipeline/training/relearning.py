"""How fast a model that was protected learns sensitive images again.

Whoever has its weights can train them on. The model is fine-tuned on U without protection, and
samples are drawn on the way. Published ways of erasing a concept are undone like this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.options import (
    ComputeOptions,
    ObjectiveOptions,
    SamplingOptions,
)
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.options import RelearningOptions, TrainingOptions
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.train import train

if TYPE_CHECKING:
    from diffusers import DDPMPipeline, UNet2DModel
    from torch import Tensor

STEPS = "steps"  # of the manifest: at which samples were drawn, with `num_images` at each


def relearn(
    model: DDPMPipeline,
    unlabeled: ImageSet,
    relearning: RelearningOptions,
    training: TrainingOptions,
    objective: ObjectiveOptions,
    compute: ComputeOptions,
    sampling: SamplingOptions,
    seed: int,
) -> ImageSet:
    """Fine-tune a model on U by the method `unsupervised`, and sample it on the way.

    The weights are the last ones, not averaged, and the learning rate is that of `training` with
    its decay, without warm-up.

    Args:
        model: the trained one; its denoiser is trained in place.
        unlabeled: U.
        relearning: how long, and how often samples are drawn.
        training: batches, optimizer.
        objective: the error.
        compute: where and how precisely.
        sampling: how samples are drawn; their number is `relearning.num_images`.
        seed: of batches, noise and samples. The starting noise is the same at every step.

    Returns:
        The samples at step 0, `every`, 2 `every`, ..., one after another.

    Raises:
        InvalidInput: a conditional model, whose samples cannot be compared so.
    """
    if unlabeled.conditions is not None:
        raise InvalidInput("relearn: expected an unconditional model, got data.num_conditions")
    options = training.model_copy(
        update={
            "num_steps": relearning.num_steps,
            "num_epochs": None,
            "muon_learning_rate": None,  # a trained model moves in smaller steps
            "warmup_steps": 0,
            "ema_decay": None,
        }
    )
    snapshots = Snapshots(model, relearning, sampling, compute, seed)
    snapshots.look(0, model.unet.eval())
    job = Job(model, "unsupervised", None, seed, options, objective, compute, "relearn")
    train(job, TrainingSets(unlabeled, unlabeled.select(slice(0))), watcher=snapshots)
    manifest = {STEPS: snapshots.steps, "num_images": relearning.num_images, "seed": seed}
    return ImageSet(np.concatenate(snapshots.images), manifest)


class Snapshots:
    """Draws samples every so many steps and keeps them; an `observers.Watcher`.

    Args:
        model: whose scheduler is the forward process.
        relearning: how often, and how many samples.
        sampling: how they are drawn.
        compute: where and how precisely.
        seed: of the starting noise.
    """

    def __init__(
        self,
        model: DDPMPipeline,
        relearning: RelearningOptions,
        sampling: SamplingOptions,
        compute: ComputeOptions,
        seed: int,
    ) -> None:
        self.every = relearning.every
        self.steps: list[int] = []
        self.images: list[np.ndarray] = []
        self._scheduler = model.scheduler
        self._sampling = sampling.model_copy(update={"num_images": relearning.num_images})
        self._compute = compute
        self._seed = seed

    def check(self, num_steps: int) -> None:
        """See `observers.Watcher`; any length will do."""

    def look(self, step: int, denoiser: UNet2DModel) -> None:
        """See `observers.Watcher`."""
        compute = resolve_compute(self._compute)
        title = f"sample at step {step}"
        images = sample_images(
            denoiser, self._scheduler, self._sampling, seed=self._seed, compute=compute, title=title
        )
        self.steps.append(step)
        self.images.append(images)

    def weights_to_return(self) -> dict[str, Tensor] | None:
        """See `observers.Watcher`."""
        return None
