"""Nodes of training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pu_diffusion_pipeline.diffusion.options import (
    ComputeOptions,
    DenoiserOptions,
    NoiseOptions,
    ObjectiveOptions,
    SamplingOptions,
)
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.metrics.options import EvaluationOptions
from pu_diffusion_pipeline.training.options import (
    PretrainingOptions,
    TrackingOptions,
    TrainingOptions,
    WatchOptions,
)

if TYPE_CHECKING:
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.metrics.fidelity import Features
    from pu_diffusion_pipeline.metrics.judge import Judge
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import ChosenBeta
    from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
    from pu_diffusion_pipeline.training.judged_samples import WatchSetup
    from pu_diffusion_pipeline.training.sets import TrainingSets

Record = dict[str, object]


def initialize_denoiser(
    pretrained: str | None,
    denoiser: DenoiserOptions,
    noise: NoiseOptions,
    data: DataOptions,
    seed: int,
) -> "tuple[DDPMPipeline, Record]":
    """Make the model where training starts: random weights of this seed, or a given model."""
    from pu_diffusion_pipeline.training.start import initial_record, load_start, random_start

    if pretrained is None:
        model = random_start(denoiser, noise, data, seed)
    else:
        model = load_start(pretrained, noise, data)
    return model, initial_record(model, seed)


def pretrain_denoiser(
    judge_images: ImageSet,
    checkpoints: "CheckpointStore",
    pretraining: PretrainingOptions,
    denoiser: DenoiserOptions,
    noise: NoiseOptions,
    objective: ObjectiveOptions,
    compute: ComputeOptions,
    data: DataOptions,
) -> "tuple[DDPMPipeline, Record]":
    """Train a stand-in for a published model on all images that are not held out."""
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.training.job import Job, run_job
    from pu_diffusion_pipeline.training.sets import TrainingSets
    from pu_diffusion_pipeline.training.start import random_start

    seed = pretraining.seed
    model = random_start(denoiser, noise, data.model_copy(update={"num_conditions": None}), seed)
    job = Job(model, "unsupervised", None, seed, pretraining, objective, compute, title="pretrain")
    sets = TrainingSets(judge_images, judge_images.select(slice(0)))
    trained = run_job(job, checkpoints, sets)
    return DDPMPipeline(unet=trained.denoiser, scheduler=model.scheduler), job.record(trained)


def train_denoiser(
    initial_model: "DDPMPipeline",
    checkpoints: "CheckpointStore",
    training: TrainingOptions,
    objective: ObjectiveOptions,
    compute: ComputeOptions,
    seed: int,
    *,
    method: str,
    **given: Any,
) -> "tuple[DDPMPipeline, pd.DataFrame, Record]":
    """Train the method's model on U, with S and N where the method uses them.

    `given`: `beta` where the method uses it, who watches, if anybody does, the folder
    `tensorboard` and whether `tracking` wants it, and what `_training_sets` takes.
    """
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.training.job import Job, run_job

    beta: ChosenBeta | None = given.pop("beta", None)
    watch: WatchSetup | None = given.pop("watch", None)
    curves = _if_wanted(given.pop("tensorboard"), given.pop("tracking"))
    sets = _training_sets(**given)
    options = (training, objective, compute, f"train {method}", curves)
    job = Job(initial_model, method, beta and beta["value"], seed, *options)
    trained = run_job(job, checkpoints, sets, watch)
    model = DDPMPipeline(unet=trained.denoiser, scheduler=initial_model.scheduler)
    kept = beta and {**beta, "value": trained.beta}
    record = {**job.record(trained), "beta": kept, "num_images": sets.counts}
    return model, pd.DataFrame(trained.history), record


def _if_wanted(tensorboard: Path, tracking: TrackingOptions) -> Path | None:
    """The folder for TensorBoard's curves; None: nobody asked for them."""
    return tensorboard if tracking.tensorboard else None


def _training_sets(
    probabilities: pd.DataFrame | None = None, after: object = None, **sets: ImageSet
) -> "TrainingSets":
    """U, S and N, with the probabilities of U where the method weighs it.

    `after` is not read: a page that a person should see before hours of training.
    """
    from pu_diffusion_pipeline.training.sets import TrainingSets

    return TrainingSets(**sets).weighed(probabilities)


def train_watched_denoiser(
    judge: "Judge",
    reference_features: "Features",
    watch_folder: Path,
    watch: WatchOptions,
    sampling: SamplingOptions,
    evaluation: EvaluationOptions,
    *,
    method: str,
    **training: Any,
) -> "tuple[DDPMPipeline, pd.DataFrame, Record]":
    """Train the method's model while the judge looks at samples every watch.every steps.

    With `watch.keep: best` the judge, and so the ground truth, chooses the weights that are kept:
    the one exception from the rule that training never sees the truth about U.
    """
    from pu_diffusion_pipeline.training.judged_samples import WatchSetup

    setup = WatchSetup(judge, reference_features, watch_folder, watch, sampling, evaluation)
    return train_denoiser(watch=setup, method=method, **training)
