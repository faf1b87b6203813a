"""Starting the processes of a job on the nodes of a Ray cluster, by Ray Train.

Ray Train finds the nodes, tells each process its rank and where the first one listens, joins them,
and ends all when one is lost. Each runs `worker.main`, as under torchrun (docs/decisions/0012).
"""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pu_diffusion_pipeline.diffusion.compute import PATIENCE
from pu_diffusion_pipeline.diffusion.processes import threads_of_each
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.ray_connection import Needs, connected
from pu_diffusion_pipeline.training.job_folder import MISTAKES, JobFolder
from pu_diffusion_pipeline.training.launch import ended_early
from pu_diffusion_pipeline.training.worker import main

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

FIELD = "training.engine ray"
FOLDER = "folder"
LOG = "log"  # in the job's folder: the lines of the first process
SECONDS_BETWEEN_LINES = 0.5
THREADS = "OMP_NUM_THREADS"

log = logging.getLogger(__name__)


@contextmanager
def connected_launcher(num_processes: int, device: str) -> Iterator[Callable[[JobFolder], None]]:
    """What runs a job on the cluster at `RAY_ADDRESS`; without one, on a Ray of this machine.

    Each process has as many threads as it would have on this machine, so the bits are the same.

    Args:
        num_processes: that share the job.
        device: cuda or cpu.

    Raises:
        InvalidInput: there is no Ray, or no room for so many processes.
    """
    if device == "mps":
        raise InvalidInput(f"{FIELD} needs compute.device cuda or cpu, got mps")
    needs = Needs(1, 1, 0) if device == "cuda" else Needs(threads_of_each(num_processes), 0, 0)
    with connected(FIELD):
        each = _refuse_too_many(num_processes, needs)
        log.info("Ray starts %d processes when there is room for them (%s)", num_processes, each)
        yield lambda job: _run(job, num_processes, needs)


def _refuse_too_many(num_processes: int, needs: Needs) -> str:
    """What each process takes, in words."""
    each = f"{needs.num_cpus} CPU{'s' if needs.num_cpus > 1 else ''} each"
    if needs.num_gpus:
        each = "a GPU and a CPU each"
    room = needs.fit_in_cluster()
    if room < num_processes:
        raise InvalidInput(
            f"training.num_processes must be at most {room}, for which the Ray cluster has room "
            f"({each}), got {num_processes}; a process takes as many CPUs as threads, and "
            f"{THREADS} sets the threads that all of them share"
        )
    return each


def _run(job: JobFolder, num_processes: int, needs: Needs) -> None:
    """Run a job; a process that fails or is lost ends all.

    Raises:
        InvalidInput, TrainingDiverged: a user's mistake, from one of the processes.
        ProcessFailed: one of them has ended early, or Ray gave up.
    """
    from ray.exceptions import RayError
    from ray.train import TrainingFailedError

    trainer = _trainer(job.folder.resolve(), num_processes, needs)
    try:
        with _lines_shown(job.folder / LOG), _signals_as_ever():
            trainer.fit()
    except (TrainingFailedError, RayError) as error:
        job.raise_mistake()
        raise _explained(job, error) from error


def _trainer(folder: Path, num_processes: int, needs: Needs) -> "TorchTrainer":
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    return TorchTrainer(
        _work,
        train_loop_config={FOLDER: str(folder)},
        torch_config=TorchConfig(timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=num_processes,
            use_gpu=needs.num_gpus > 0,
            resources_per_worker={"CPU": needs.num_cpus, "GPU": needs.num_gpus},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(folder),
            worker_runtime_env={"env_vars": {THREADS: str(needs.num_cpus)}},
        ),
    )


def _work(told: dict[str, str]) -> None:
    """What Ray Train calls in each process."""
    folder = Path(told[FOLDER])
    if not JobFolder(folder).is_prepared:
        raise InvalidInput(
            f"{FIELD}: the node {socket.gethostname()} does not see {folder}. Every node needs the "
            "project's data/ under the same path, on a shared file system."
        )
    if main(folder, folder / LOG) != 0:
        raise ProcessFailed("a mistake was written down, or another process is gone")


@contextmanager
def _lines_shown(path: Path) -> Iterator[None]:
    """Log here what the first process logs, while the block runs: it may be on another node."""
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(path, ended), daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(path: Path, ended: threading.Event) -> None:
    place, is_last = 0, False
    while not is_last:
        is_last = ended.wait(SECONDS_BETWEEN_LINES)
        if path.exists():
            with path.open("rb") as file:
                file.seek(place)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            place += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                log.info("%s", line)


@contextmanager
def _signals_as_ever() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise what they do without Ray.

    Ray Train's handler of Ctrl-C ends the processes, then exits with 0, and is never taken back;
    while Ray waits, what a handler of SIGTERM raises becomes a KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    on_sigint, on_sigterm = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    terminated = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        terminated.set()
        if callable(on_sigterm):
            on_sigterm(number, frame)

    if callable(on_sigterm):
        signal.signal(signal.SIGTERM, note)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if terminated.is_set():
            note(signal.SIGTERM, None)
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, on_sigint)
        signal.signal(signal.SIGTERM, on_sigterm)


def _explained(job: JobFolder, error: Exception) -> Exception:
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    mistakes = [one for one in failures.values() if isinstance(one, tuple(MISTAKES.values()))]
    if mistakes:
        job.delete()
        return mistakes[0]
    if not failures:
        return ProcessFailed(
            f"Ray could not run this training ({_first_line(error)}). Run the same command to go "
            "on from its last checkpoint."
        )
    # One that is lost or failed is the cause; others end because it is gone.
    rank = min(failures, key=lambda rank: (isinstance(failures[rank], ProcessFailed), rank))
    cause = failures[rank]
    is_lost = hasattr(cause, "health_check_failure")
    how = "is lost, or its node is" if is_lost else f"failed ({_first_line(cause)})"
    return ended_early(job, rank, how)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
