"""A training as a job: in this process, in several here or on a Ray cluster, or by a launcher.

Every process of a job runs `worker.py` on the job's folder, whoever starts it. The job ends as a
finished state in the checkpoint store, which is then read like a training that was interrupted
after its last step.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pu_diffusion_pipeline.diffusion.compute import (
    resolve_compute,
    resolve_device,
    resolve_precision,
)
from pu_diffusion_pipeline.diffusion.objectives import Objective, build_objective
from pu_diffusion_pipeline.diffusion.options import ComputeOptions, ObjectiveOptions
from pu_diffusion_pipeline.diffusion.processes import check_devices
from pu_diffusion_pipeline.diffusion.weights_check import weights_digest
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore, last_good_checkpoint
from pu_diffusion_pipeline.training.code_identity import running_code
from pu_diffusion_pipeline.training.job_folder import Description, JobFolder
from pu_diffusion_pipeline.training.judged_samples import JudgedSamples, WatchSetup
from pu_diffusion_pipeline.training.launch import WORKER, is_first_process, launch
from pu_diffusion_pipeline.training.options import TrainingOptions
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.train import Trained, train

if TYPE_CHECKING:
    from diffusers import DDPMPipeline

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is trained, and how.

    Attributes:
        model: where training starts, a diffusers pipeline with `unet` and `scheduler`; its denoiser
            is trained in place.
        method: whose objective, a name in `methods.METHODS` that trains.
        beta: for methods that use it.
        seed: of batches and noise.
        training: options of optimisation.
        objective: options of error and objective.
        compute: where and how precisely.
        title: stands before the progress bar.
        tensorboard: the folder that the curves go to for TensorBoard; None: nowhere.
    """

    model: DDPMPipeline
    method: str
    beta: float | None
    seed: int
    training: TrainingOptions
    objective: ObjectiveOptions
    compute: ComputeOptions
    title: str
    tensorboard: Path | None = None

    @property
    def device(self) -> str:
        """cuda, mps or cpu."""
        return resolve_device(self.compute.device)

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""
        return resolve_precision(self.compute.precision, self.device)

    def build_objective(self) -> Objective:
        """What the method minimises."""
        options = self.objective
        return build_objective(
            self.method, self.beta, options.correction, options.gamma, options.mixing
        )

    def record(self, trained: Trained) -> dict[str, object]:
        """What is written down about a training."""
        return {
            "method": self.method,
            "beta": trained.beta,
            "seed": self.seed,
            "data_digest": trained.data_digest,
            "device": self.device,
            "precision": self.precision,
            "num_processes": self.training.num_processes,
            "num_steps": trained.num_steps,
            "num_parameters": trained.num_parameters,
            "weights_digest": weights_digest(trained.denoiser),
            "seconds": round(trained.seconds, 2),
        }

    def description(self) -> Description:
        """The job without its model, for JSON."""
        plain = TrainingOptions.model_fields.keys()
        return {
            "method": self.method,
            "beta": self.beta,
            "seed": self.seed,
            "training": self.training.model_dump(mode="json", include=set(plain)),
            "objective": self.objective.model_dump(mode="json"),
            "compute": self.compute.model_dump(mode="json"),
            "title": self.title,
            "tensorboard": None if self.tensorboard is None else str(self.tensorboard.resolve()),
        }

    @classmethod
    def described(cls, model: DDPMPipeline, plain: Description) -> Job:
        """The job of a `description`."""
        return cls(
            model,
            plain["method"],
            plain["beta"],
            plain["seed"],
            TrainingOptions.model_validate(plain["training"]),
            ObjectiveOptions.model_validate(plain["objective"]),
            ComputeOptions.model_validate(plain["compute"]),
            plain["title"],
            None if plain["tensorboard"] is None else Path(plain["tensorboard"]),
        )


def run_job(
    job: Job, checkpoints: CheckpointStore, sets: TrainingSets, watch: WatchSetup | None = None
) -> Trained:
    """Train, in as many processes as `training.num_processes` says, where `training.engine` says.

    Args:
        job: what is trained, and how.
        checkpoints: where its states go; the folder is claimed for this training.
        sets: the training images.
        watch: what it is watched with; None, or one whose `watch.every` is None: not watched.

    Ctrl-C and SIGTERM end it with a warning that names the last good checkpoint.

    Raises:
        InvalidInput: the folder is another training's; or `external`, and the job is not finished:
            then the message says how to start it.
        ProcessFailed: one of several processes has ended early.
    """
    data_digest = sets.digest(job.model.unet)
    folder = JobFolder(checkpoints.folder / "job")
    if job.training.num_processes == "external" and not _is_finished(checkpoints):
        folder.refuse_another(job.description(), data_digest)
    job = _as_begun(job, checkpoints.claim(data_digest, running_code(), job.beta))
    if not folder.is_prepared:  # its processes may be running, and looking
        watch = _watch_from_here(watch, checkpoints)
    with _told_if_stopped(checkpoints):
        if _needs_processes(job.training) and not _is_finished(checkpoints):
            _train_in_processes(job, folder, checkpoints, sets, watch, data_digest)
            watch = None
        trained = train(job, sets, checkpoints, _open_watcher(job, watch))
    folder.delete()
    return replace(trained, data_digest=data_digest, beta=job.beta)


def _as_begun(job: Job, beta: float | None) -> Job:
    """The job with the beta of its first step: an estimate differs a little between machines."""
    if beta != job.beta:
        log.warning(
            "%s: begun with beta %s, so it keeps it; now it is %s", job.title, beta, job.beta
        )
    return replace(job, beta=beta)


def run_saved_job(path: Path) -> None:
    """Train the job in a folder, as one of its processes."""
    folder = JobFolder(path)
    job = Job.described(folder.model(), folder.description())
    watch = folder.watch() if is_first_process() else None
    train(job, folder.sets(), CheckpointStore(path.parent), _open_watcher(job, watch))


@contextmanager
def _told_if_stopped(checkpoints: CheckpointStore) -> Iterator[None]:
    """Say how to go on when Ctrl-C, or SIGTERM from a scheduler, ends the block."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        log.warning(
            "Interrupted. Last good checkpoint: %s. Run the same command to go on.",
            last_good_checkpoint(checkpoints),
        )
        raise
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _needs_processes(options: TrainingOptions) -> bool:
    return options.num_processes != 1 or options.engine == "ray"


def _is_finished(checkpoints: CheckpointStore) -> bool:
    state = checkpoints.latest()
    return state is not None and state["finished"]


def _watch_from_here(watch: WatchSetup | None, checkpoints: CheckpointStore) -> WatchSetup | None:
    """The watch, if there is anything left to look at; looks of an earlier training are deleted."""
    if watch is None or watch.watch.every is None:
        return None
    state = checkpoints.latest()
    if state is None:
        shutil.rmtree(watch.folder, ignore_errors=True)
    elif state["finished"]:
        log.info("watch.every: this training is finished, there is nothing left to look at")
        return None
    return watch


def _open_watcher(job: Job, watch: WatchSetup | None) -> JudgedSamples | None:
    if watch is None:
        return None
    return JudgedSamples(watch, job.model.scheduler, job.seed, resolve_compute(job.compute))


def _train_in_processes(
    job: Job,
    folder: JobFolder,
    checkpoints: CheckpointStore,
    sets: TrainingSets,
    watch: WatchSetup | None,
    data_digest: str,
) -> None:
    """Train in processes of their own, up to a finished state in the store."""
    num_processes = job.training.num_processes
    if num_processes == "external":
        _offer(job, folder, sets, watch, data_digest)
    # `auto` is what this machine has: the record says so, and other nodes do not differ.
    found = {"device": job.device, "precision": job.precision}
    plain = replace(job, compute=job.compute.model_copy(update=found)).description()
    with _launcher(job.training.engine, num_processes, job.device) as start:
        folder.save(job.model, plain, sets, watch, data_digest)
        start(folder)
    if not _is_finished(checkpoints):
        raise ProcessFailed(
            f"The final state could not be written to {checkpoints.folder}; make room there and "
            "run the same command again."
        )


@contextmanager
def _launcher(
    engine: str, num_processes: int, device: str
) -> Iterator[Callable[[JobFolder], None]]:
    """What runs a job in so many processes, once it is known that there is room for them."""
    if engine == "ray":
        from pu_diffusion_pipeline.training.ray_launch import connected_launcher

        with connected_launcher(num_processes, device) as start:
            yield start
        return
    check_devices(device, num_processes, "training.num_processes")
    yield lambda folder: launch(folder, num_processes)


def _offer(
    job: Job,
    folder: JobFolder,
    sets: TrainingSets,
    watch: WatchSetup | None,
    data_digest: str,
) -> NoReturn:
    """Leave the job for a launcher; one that lies there may be running, and is left alone."""
    folder.raise_mistake()
    if not folder.is_prepared:
        folder.save(job.model, job.description(), sets, watch, data_digest)
    raise InvalidInput(
        f"training.num_processes is external: the job is ready in {folder.folder}. "
        "Start its processes with\n"
        f"  torchrun --nproc-per-node=8 -m {WORKER} {shlex.quote(str(folder.folder))}\n"
        "(or accelerate launch -m, on any number of nodes that see this folder), and when they "
        f"have ended run this command again. To prepare it anew, delete {folder.folder}."
    )
