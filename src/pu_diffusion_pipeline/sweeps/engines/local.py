"""Tasks as processes of this machine, each with its own cores and, where there are any, GPUs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.sweeps.engines.interface import CHILD, THREADS, Ended, Setup
from pu_diffusion_pipeline.sweeps.plan import Task

GPUS = "CUDA_VISIBLE_DEVICES"
POLL = 0.05  # seconds


class Slot(NamedTuple):
    """What one worker has to itself.

    Attributes:
        cores: that its processes run on; none: all.
        environment: what it adds to ours.
    """

    cores: tuple[int, ...]
    environment: dict[str, str]


class Worker(NamedTuple):
    """A process that works."""

    process: subprocess.Popen[bytes]
    slot: Slot


class LocalEngine:
    """An `Engine` of subprocesses.

    Each is the leader of a process group: Ctrl-C in the terminal reaches the sweep alone, and what
    a task has started ends with it. They end too when the sweep is killed.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._free = slots(setup)
        self._workers: dict[str, Worker] = {}
        self.capacity = len(self._free)

    def prepare(self, tasks: Sequence[Task], *, dry_run: bool) -> list[str]:
        """See `Engine`."""
        return []

    def start(self, task: Task) -> None:
        """See `Engine`."""
        slot = self._free.pop(0)
        log = self._setup.log_of(task.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output, _on_cores(slot.cores):
            output.write(f"$ kedro {' '.join(task.arguments)}\n".encode())
            output.flush()
            process = subprocess.Popen(
                [sys.executable, *CHILD, *task.arguments],
                cwd=self._setup.project,
                env={**os.environ, **slot.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._workers[task.name] = Worker(process, slot)

    def wait(self, seconds: float) -> list[Ended]:
        """See `Engine`."""
        until = time.monotonic() + seconds
        while not (ended := self._ended()) and time.monotonic() < until:
            time.sleep(POLL)
        return ended

    def _ended(self) -> list[Ended]:
        found = []
        for name, (process, slot) in list(self._workers.items()):
            code = process.poll()
            if code is not None:
                _signal_group(process, signal.SIGKILL)  # what it has started and left
                del self._workers[name]
                self._free.append(slot)
                found.append(Ended(name, code))
        return found

    def stop(self, tasks: Collection[str] | None = None, *, kill: bool) -> None:
        """See `Engine`. A training that is told to end names its last resume state."""
        for name, worker in self._workers.items():
            if tasks is None or name in tasks:
                _signal_group(worker.process, signal.SIGKILL if kill else signal.SIGTERM)

    def close(self) -> None:
        """See `Engine`."""


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextmanager
def _on_cores(cores: tuple[int, ...]) -> Iterator[None]:
    """What is started in the block runs on these cores, from its first instruction on."""
    if not cores:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def slots(setup: Setup) -> list[Slot]:
    """The slots of the workers.

    Raises:
        InvalidInput: no worker, more GPUs than there are, or what only other engines know.
    """
    setup.refuse("cpus_per_run", "memory_per_run", "engine_option")
    if setup.workers is not None and setup.workers < 1:
        raise InvalidInput(f"--workers: expected at least 1, got {setup.workers}")
    if setup.gpus_per_run is not None and setup.gpus_per_run <= 0:
        raise InvalidInput(f"--gpus-per-run: expected a number above 0, got {setup.gpus_per_run}")
    gpus = _gpus() if setup.uses_gpu or setup.gpus_per_run is not None else []
    if not gpus and setup.gpus_per_run is not None:
        raise InvalidInput(
            f"--gpus-per-run: expected a machine with GPUs, got {setup.gpus_per_run}"
        )
    shares = _shares_of(gpus, setup.gpus_per_run or 1.0) if gpus else []
    workers = setup.workers or len(shares) or 1
    if gpus and workers > len(shares):
        raise InvalidInput(
            f"--workers: {workers} workers with {setup.gpus_per_run or 1:g} GPUs each need more "
            f"than there are: {len(gpus)}. See --gpus-per-run"
        )
    visible = [{GPUS: shares[number]} if gpus else {} for number in range(workers)]
    if workers == 1:
        return [Slot((), visible[0])]
    cores = _divided_cores(workers)
    return [
        Slot(own, {**dict.fromkeys(THREADS, str(len(own) or 1)), **seen})
        for own, seen in zip(cores, visible, strict=True)
    ]


def _gpus() -> list[str]:
    """As `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get(GPUS, "").split(",") if name]
    return named[:count] or [str(number) for number in range(count)]


def _shares_of(gpus: list[str], per_run: float) -> list[str]:
    """What each worker sees, for as many workers as there is room for."""
    if per_run <= 1:
        at_once = int(1 / per_run + 1e-9)
        return [gpu for gpu in gpus for _ in range(at_once)]
    if per_run != int(per_run):
        raise InvalidInput(
            f"--gpus-per-run: expected a whole number, or a share of one GPU, got {per_run}"
        )
    size = int(per_run)
    if size > len(gpus):
        raise InvalidInput(f"--gpus-per-run: expected at most {len(gpus)}, got {size}")
    whole = len(gpus) // size
    return [",".join(gpus[start * size : (start + 1) * size]) for start in range(whole)]


def _divided_cores(workers: int) -> list[tuple[int, ...]]:
    """The cores of each worker; where they are fewer than workers, several share one."""
    if not hasattr(os, "sched_getaffinity"):
        return [()] * workers
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < workers:
        return [(cores[number % len(cores)],) for number in range(workers)]
    each = len(cores) // workers
    return [tuple(cores[number * each : (number + 1) * each]) for number in range(workers)]
