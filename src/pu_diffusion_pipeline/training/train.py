"""Training in this process: puts the loop's parts together, and the observers around them.

`train(job, sets)` is the way to train without Kedro and without files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pu_diffusion_pipeline.diffusion.compute import return_freed_memory, reuse_freed_memory
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.objectives import Objective
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from pu_diffusion_pipeline.progress import progress
from pu_diffusion_pipeline.training.batches import Batches, build_batches, length_in_steps
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.draws import BatchDraws, RandomDraws
from pu_diffusion_pipeline.training.gradients import BatchGradients
from pu_diffusion_pipeline.training.history import History, ProgressLine, TensorBoardCurves
from pu_diffusion_pipeline.training.loop import BatchError, Learner, training_steps
from pu_diffusion_pipeline.training.memory import refuse_too_large
from pu_diffusion_pipeline.training.observers import (
    Observer,
    ResumeStates,
    Stopwatch,
    Watcher,
    Watching,
    WeightAverage,
    follow,
)
from pu_diffusion_pipeline.training.sets import TrainingSets

if TYPE_CHECKING:
    from diffusers import UNet2DModel

    from pu_diffusion_pipeline.training.job import Job


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Attributes:
        denoiser: the model, with averaged weights where `training.ema_decay` is given; on the CPU.
        history: a row per `log_every` steps: step, loss, risks, gradient norm, learning rate,
            images per second.
        seconds: training time, over all resumptions.
        num_steps: steps taken.
        data_digest: of the training sets and the initial weights; None where nothing was claimed.
        beta: that it was trained with; None where nothing was claimed or the method uses none.
    """

    denoiser: UNet2DModel
    history: list[dict[str, float]]
    seconds: float
    num_steps: int
    data_digest: str | None = None
    beta: float | None = None

    @property
    def num_parameters(self) -> int:
        """Weights of the denoiser."""
        return sum(weight.numel() for weight in self.denoiser.parameters())


class Parts(NamedTuple):
    """What the loop is made of."""

    learner: Learner
    draws: BatchDraws
    gradients: BatchGradients


class Observers(NamedTuple):
    """What follows a training, in the order in which it is called."""

    average: WeightAverage | None
    stopwatch: Stopwatch
    history: History
    progress: ProgressLine | None
    curves: TensorBoardCurves | None
    watching: Watching | None
    states: ResumeStates

    @property
    def present(self) -> list[Observer]:
        """Those that there are."""
        return [observer for observer in self if observer is not None]


def train(
    job: Job,
    sets: TrainingSets,
    checkpoints: CheckpointStore | None = None,
    watcher: Watcher | None = None,
    objective: Objective | None = None,
) -> Trained:
    """Train in this process, from the newest checkpoint if there is one.

    Several processes share every batch if a launcher has started them so.

    Args:
        job: what is trained, and how; its model is trained in place.
        sets: the training images.
        checkpoints: where checkpoints go; None keeps none.
        watcher: looks at the model every so many steps; None: nobody does.
        objective: minimised in place of the method's own.

    Raises:
        InvalidInput: a set that the objective looks at is empty, or the memory is too small.
        TrainingDiverged: the loss is no longer finite.
    """
    parts = prepare(job, sets, objective)
    learner = parts.learner
    observers = _build_observers(job, learner, checkpoints, watcher)
    if not observers.states.resume(learner):
        refuse_too_large(learner, parts.draws, job.training)
        reuse_freed_memory()
        with progress(job.title, learner.num_steps, shown=learner.is_first) as reporter:
            shown = observers._replace(progress=ProgressLine(observers.history, reporter))
            follow(training_steps(*parts), learner, shown.present)
        return_freed_memory()
    return Trained(
        learner.finished(), observers.history.rows, observers.stopwatch.seconds, learner.step
    )


def prepare(job: Job, sets: TrainingSets, objective: Objective | None = None) -> Parts:
    """The parts of the loop; arguments as in `train`."""
    used = METHODS[job.method].sets
    for name, images in zip(SETS, sets.images, strict=True):
        if name in used and len(images) == 0:
            raise InvalidInput(
                f"the set {name} is empty; this method needs at least one image in it"
            )
    if METHODS[job.method].weighs and sets.probabilities is None:
        raise InvalidInput(
            f"method {job.method}: expected the probability of each image of U of being sensitive, "
            "got none (`TrainingSets.weighed`)"
        )
    learner = _build_learner(job, sets)
    draws = BatchDraws(sets, used, _build_batches(job, sets, used), _build_random(job, learner))
    gradients = BatchGradients(
        learner.accelerator,
        learner.denoiser,
        BatchError.build(learner, job.model.scheduler, job.objective, job.compute),
        objective or job.build_objective(),
        job.training.batch_size,
        job.training.micro_batches,
    )
    return Parts(learner, draws, gradients)


def _build_learner(job: Job, sets: TrainingSets) -> Learner:
    options = job.training
    num_images = len(sets.unlabeled) + len(sets.labeled_sensitive)
    num_steps = length_in_steps(
        options.num_steps, options.num_epochs, num_images, options.batch_size
    )
    return Learner(
        job.model.unet, options, num_steps, job.device, job.precision, job.compute.channels_last
    )


def _build_batches(job: Job, sets: TrainingSets, used: tuple[str, ...]) -> Batches:
    options = job.training
    num_unlabeled, num_labeled, num_normal = (len(images) for images in sets.images)
    return build_batches(
        options.batches,
        num_unlabeled,
        num_labeled,
        options.batch_size,
        job.seed,
        num_normal if SETS[2] in used else 0,
    )


def _build_random(job: Job, learner: Learner) -> RandomDraws:
    num_classes = job.model.unet.config.num_class_embeds
    return RandomDraws(
        job.seed,
        learner.accelerator.device,
        job.model.scheduler.config.num_train_timesteps,
        job.training.timesteps,
        job.training.condition_dropout,
        None if num_classes is None else num_classes - 1,
    )


def _build_observers(
    job: Job, learner: Learner, checkpoints: CheckpointStore | None, watcher: Watcher | None
) -> Observers:
    options = job.training
    stopwatch = Stopwatch()
    history = History(options, stopwatch, checkpoints)
    average = None
    if options.ema_decay is not None:
        average = WeightAverage(learner, options.ema_decay)
    watching = None
    if watcher is not None and learner.is_first:
        watching = Watching(watcher, average, stopwatch, checkpoints)
    curves = None
    if job.tensorboard is not None and learner.is_first:
        curves = TensorBoardCurves(history, job.tensorboard, checkpoints)
    remembered = [one for one in (average, stopwatch, history) if one is not None]
    states = ResumeStates(checkpoints, options.checkpoint_every, remembered)
    return Observers(average, stopwatch, history, None, curves, watching, states)
