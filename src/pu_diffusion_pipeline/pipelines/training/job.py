"""A training as a job: in this process, in several on this machine, or in ones that a launcher starts elsewhere.

Every process of a job runs `worker.py` on the job's folder, whoever starts it. The job ends as a finished state in the
checkpoint store, which the node then reads as if it had been interrupted after its last step.
"""

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from pu_diffusion_pipeline.diffusion.checkpoints import CheckpointStore
from pu_diffusion_pipeline.diffusion.compute import resolve_device, resolve_precision
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.diffusion.trainer import Trained, Trainer
from pu_diffusion_pipeline.diffusion.watching import WatchPlace
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed, TrainingDiverged
from pu_diffusion_pipeline.identity import code_digest
from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.parameters import Parameters, Pretraining, Training, load_parameters
from pu_diffusion_pipeline.pipelines.training.watch import open_watcher

log = logging.getLogger(__name__)

WORKER = "pu_diffusion_pipeline.pipelines.training.worker"
MISTAKES = {kind.__name__: kind for kind in (InvalidInput, TrainingDiverged)}


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained, and how.

    Attributes:
        parameters: of the run.
        options: the section of them that describes this training.
        method: whose objective.
        beta: for methods that use it.
        seed: of batches and noise.
        denoiser: where training starts; trained in place.
        noise_scheduler: the forward process.
        title: stands before the progress bar.
    """

    parameters: Parameters
    options: Training
    method: str
    beta: float | None
    seed: int
    denoiser: Any
    noise_scheduler: Any
    title: str

    @property
    def device(self) -> str:
        """cuda, mps or cpu."""
        return resolve_device(self.parameters.compute.device)

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""
        return resolve_precision(self.parameters.compute.precision, self.device)

    def trainer(self, checkpoints: CheckpointStore, watch: WatchPlace | None = None) -> Trainer:
        """The trainer of this process."""
        objective, compute = self.parameters.objective, self.parameters.compute
        return Trainer(
            self.denoiser,
            self.noise_scheduler,
            build_objective(self.method, self.beta, objective.correction, objective.gamma),
            self.options,
            error_options={"error_space": objective.error_space, "reduction": objective.reduction},
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            checkpoints=checkpoints,
            sets=METHODS[self.method].sets,
            condition_dropout=self.options.condition_dropout,
            channels_last=compute.channels_last,
            compiled=compute.compile,
            watcher=open_watcher(watch, self.parameters, self.noise_scheduler, self.device, self.precision)
            if watch and is_first_process()
            else None,
        )

    def save(
        self,
        folder: Path,
        images: tuple[np.ndarray, ...],
        conditions: tuple[np.ndarray, ...] | None,
        watch: WatchPlace | None,
    ) -> None:
        """Write the job into a folder, for `worker.py`."""
        from diffusers import DDPMPipeline

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        DDPMPipeline(unet=self.denoiser, scheduler=self.noise_scheduler).save_pretrained(folder / "model")
        for name, arrays in (("images", images), ("conditions", conditions or ())):
            for number, array in enumerate(arrays):
                np.save(folder / f"{name}_{number}.npy", array, allow_pickle=False)
        plain = {
            "parameters": self.parameters.model_dump(mode="json"),
            "is_pretraining": isinstance(self.options, Pretraining),
            "method": self.method,
            "beta": self.beta,
            "seed": self.seed,
            "code_digest": code_digest(),
            "title": self.title,
            "watch": watch and {name: str(path.resolve()) for name, path in dataclasses.asdict(watch).items()},
        }
        (folder / "job.json").write_text(json.dumps(plain, indent=1))

    @classmethod
    def run(cls, folder: Path) -> None:
        """Train the job in a folder, as one of its processes."""
        from diffusers import DDPMPipeline

        plain = json.loads((folder / "job.json").read_text())
        if plain["code_digest"] != code_digest():
            raise InvalidInput(f"{folder} was prepared by other code of this package; delete it and prepare it anew")
        parameters = load_parameters(plain["parameters"])
        options = parameters.pretraining if plain["is_pretraining"] else parameters.training
        assert options is not None
        model = DDPMPipeline.from_pretrained(folder / "model", local_files_only=True, use_safetensors=True)
        job = cls(
            parameters, options, plain["method"], plain["beta"], plain["seed"],
            model.unet, model.scheduler, plain["title"],
        )  # fmt: skip
        watch = plain["watch"] and WatchPlace(**{name: Path(path) for name, path in plain["watch"].items()})
        trainer = job.trainer(CheckpointStore(folder.parent), watch)
        images, conditions = (
            [np.load(path, mmap_mode="r" if path.stat().st_size > 1 << 20 else None, allow_pickle=False)
             for path in sorted(folder.glob(f"{name}_*.npy"))]
            for name in ("images", "conditions")
        )  # fmt: skip
        trainer.fit(*images, conditions=tuple(conditions) or None, title=job.title)


def is_first_process() -> bool:
    """Whether this process writes, among those that a launcher has started."""
    return os.environ.get("RANK", "0") == "0"


def run_job(
    job: Job,
    checkpoints: CheckpointStore,
    images: tuple[np.ndarray, ...],
    conditions: tuple[np.ndarray, ...] | None = None,
    watch: WatchPlace | None = None,
) -> Trained:
    """Train, in as many processes as `training.num_processes` says.

    Args:
        job: what is trained.
        checkpoints: where its states go.
        images: U, S and labeled normal images, as `Trainer.fit` takes them.
        conditions: as there.
        watch: where a watcher finds the judge and writes what it sees.

    Raises:
        InvalidInput: `external`, and the job is not finished; it says how to start it.
        ProcessFailed: one of several processes has ended early.
    """
    processes, folder = job.options.num_processes, checkpoints.folder / "job"
    state = checkpoints.latest()
    is_begun, is_finished = state is not None, state is not None and state["finished"]
    del state  # it may be large
    if job.parameters.watch.every is None or watch is None:
        watch = None
    elif is_finished:
        log.info("watch.every: this training is finished, there is nothing left to look at")
        watch = None
    elif not is_begun:
        shutil.rmtree(watch.folder, ignore_errors=True)  # looks of a training that is made anew
    if processes != 1 and not is_finished:
        _check_devices(job.device, processes)
        if processes == "external":
            _offer(job, folder, images, conditions, watch)
        job.save(folder, images, conditions, watch)
        launch(folder, processes)
        if not (state := checkpoints.latest()) or not state["finished"]:
            raise ProcessFailed(
                f"The final state could not be written to {checkpoints.folder}; make room there and run the same "
                "command again."
            )
        watch = None
    trained = job.trainer(checkpoints, watch).fit(*images, conditions=conditions, title=job.title)
    shutil.rmtree(folder, ignore_errors=True)
    return trained


def _offer(job: Job, folder: Path, images: Any, conditions: Any, watch: WatchPlace | None) -> NoReturn:
    """Leave the job for a launcher; one that lies there may be running, and is left alone."""
    _raise_mistake(folder)
    if not (folder / "job.json").is_file():
        job.save(folder, images, conditions, watch)
    raise InvalidInput(
        f"training.num_processes is external: the job is ready in {folder}. Start its processes with\n"
        f"  torchrun --nproc-per-node=8 -m {WORKER} {folder}\n"
        "(or accelerate launch -m, on any number of nodes that see this folder), and when they have ended run this "
        f"command again. To prepare it anew, delete {folder}."
    )


def _raise_mistake(folder: Path) -> None:
    """What a process of the job has written down for the user, once."""
    if (path := folder / "mistake.json").is_file():
        mistake = json.loads(path.read_text())
        shutil.rmtree(folder)
        raise MISTAKES[mistake["kind"]](mistake["message"])


def _check_devices(device: str, processes: int | str) -> None:
    if processes == "external":
        return
    if device == "mps":
        raise InvalidInput("training.num_processes above 1 needs compute.device cuda or cpu, got mps")
    if device == "cuda" and processes > (there := torch.cuda.device_count()):
        raise InvalidInput(f"training.num_processes must be at most {there}, the GPUs of this machine, got {processes}")


def launch(folder: Path, num_processes: int) -> None:
    """Start the processes of a job on this machine through torch elastic; one that fails stops all."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
        monitor_interval=0.2,
    )
    with _threads_each(max(1, torch.get_num_threads() // num_processes)), _signal_handlers_restored():
        try:
            elastic_launch(config, sys.executable)("-m", WORKER, str(folder))
        except SignalException as error:  # the agent takes Ctrl-C and stops the processes first
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            _raise_mistake(folder)
            raise _explained(folder, error) from error


def _explained(folder: Path, error: Any) -> ProcessFailed:
    # Who was stopped by the agent, or failed because another one was gone, is not the cause.
    def order(item: Any) -> tuple[bool, float]:
        return item[1].exitcode >= 0 or item[1].exitcode == -signal.SIGTERM, item[1].timestamp

    rank, failure = min(error.failures.items(), key=order)
    how = f"was killed (signal {-failure.exitcode})" if failure.exitcode < 0 else f"ended with code {failure.exitcode}"
    state = CheckpointStore(folder.parent).latest()
    last = "none" if state is None else f"step {state['step']} in {folder.parent}"
    return ProcessFailed(
        f"Process {rank} of this training {how}; the others were stopped (last good checkpoint: {last}). "
        "Run the same command to go on from there."
    )


@contextlib.contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """The elastic agent sets its own and leaves them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _threads_each(count: int) -> Iterator[None]:
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
