"""Starting the processes of a job on this machine, through torch elastic."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore, last_good_checkpoint
from pu_diffusion_pipeline.training.job_folder import JobFolder

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher.api import LaunchConfig

WORKER = "pu_diffusion_pipeline.training.worker"


def is_first_process() -> bool:
    """Whether this process writes, among those that a launcher has started."""
    return os.environ.get("RANK", "0") == "0"


def check_devices(device: str, num_processes: int) -> None:
    """Refuse more processes than this machine has devices for.

    Raises:
        InvalidInput: on mps, or with more processes than GPUs.
    """
    if device == "mps":
        raise InvalidInput(
            "training.num_processes above 1 needs compute.device cuda or cpu, got mps"
        )
    if device == "cuda" and num_processes > (there := torch.cuda.device_count()):
        raise InvalidInput(
            f"training.num_processes must be at most {there}, the GPUs of this machine, "
            f"got {num_processes}"
        )


def launch(job: JobFolder, num_processes: int) -> None:
    """Run a job in several processes; one that fails stops all.

    Raises:
        InvalidInput, TrainingDiverged: a user's mistake, from one of the processes.
        ProcessFailed: one of them has ended early.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    threads = max(1, torch.get_num_threads() // num_processes)
    with _threads_each(threads), _signal_handlers_restored():
        try:
            elastic_launch(_config(num_processes), sys.executable)("-m", WORKER, str(job.folder))
        except SignalException as error:  # the agent takes Ctrl-C and stops the processes first
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            job.raise_mistake()
            raise _explained(job, error) from error


def _config(num_processes: int) -> LaunchConfig:
    from torch.distributed.launcher.api import LaunchConfig

    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
        monitor_interval=0.2,
    )


def _explained(job: JobFolder, error: ChildFailedError) -> ProcessFailed:
    rank, failure = min(error.failures.items(), key=_by_cause)
    if failure.exitcode < 0:
        how = f"was killed (signal {-failure.exitcode})"
    else:
        how = f"ended with code {failure.exitcode}"
    last = last_good_checkpoint(CheckpointStore(job.folder.parent))
    return ProcessFailed(
        f"Process {rank} of this training {how}; the others were stopped "
        f"(last good checkpoint: {last}). Run the same command to go on from there."
    )


def _by_cause(item: tuple[int, ProcessFailure]) -> tuple[bool, float]:
    """First the process that was killed: one that the agent stopped is not the cause."""
    _, failure = item
    is_effect = failure.exitcode >= 0 or failure.exitcode == -signal.SIGTERM
    return is_effect, failure.timestamp


@contextlib.contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """The elastic agent sets handlers of its own and leaves them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _threads_each(count: int) -> Iterator[None]:
    """Let each process started in the block use so many threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
