"""Tasks as processes of this machine, each with its own cores and, where there are any, GPUs."""

import os
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.sweeps.engines.interface import THREADS, Ended, Setup
from pu_diffusion_pipeline.sweeps.engines.launcher import Launcher
from pu_diffusion_pipeline.sweeps.engines.launching import Signal, Start
from pu_diffusion_pipeline.sweeps.plan import Task

GPUS = "CUDA_VISIBLE_DEVICES"


class Slot(NamedTuple):
    """What one worker has to itself.

    Attributes:
        cores: that its processes run on; none: all.
        environment: what it adds to ours.
    """

    cores: tuple[int, ...]
    environment: dict[str, str]


class LocalEngine:
    """An `Engine` of processes that a launcher begins.

    Each is the leader of a process group: Ctrl-C in the terminal reaches the sweep alone, and what
    a task has started ends with it. They end too when the sweep is killed.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._free = slots(setup)
        self._taken: dict[str, Slot] = {}
        self._launcher: Launcher | None = None
        self.capacity = len(self._free)

    def prepare(self, tasks: Sequence[Task], *, dry_run: bool) -> list[str]:
        """See `Engine`."""
        return []

    def start(self, task: Task) -> None:
        """See `Engine`."""
        log = self._setup.begin_log(task)
        if self._launcher is None:
            self._launcher = self._begin_launcher()
        slot = self._taken[task.name] = self._free.pop(0)
        self._launcher.ask(Start(task.name, task.arguments, str(log), slot.cores, slot.environment))

    def _begin_launcher(self) -> Launcher:
        seen = self._free[0].environment
        return Launcher(
            modules_to_share(seen),
            self._setup.project,
            self._setup.logs / "launcher.log",
            {name: seen[name] for name in THREADS if name in seen},
        )

    def wait(self, seconds: float) -> list[Ended]:
        """See `Engine`."""
        if self._launcher is None:
            time.sleep(seconds)
            return []
        try:
            found = [Ended(name, code) for name, code in self._launcher.wait(seconds)]
        except EOFError:
            found = [self._lost(name) for name in self._taken]
            self.close()
        for ended in found:
            self._free.append(self._taken.pop(ended.task))
        return found

    def _lost(self, task: str) -> Ended:
        how = f"the process that begins the tasks has ended, see {self._setup.logs}/launcher.log"
        return Ended(task, -signal.SIGKILL, how)

    def stop(self, tasks: Collection[str] | None = None, *, kill: bool) -> None:
        """See `Engine`. A training that is told to end names its last checkpoint."""
        if kill and self._launcher and not self._launcher.is_ready:
            self._launcher.kill()  # it still imports, and no task has begun
        for name in self._taken:
            if self._launcher and (tasks is None or name in tasks):
                self._launcher.ask(Signal(name, signal.SIGKILL if kill else signal.SIGTERM))

    def close(self) -> None:
        """See `Engine`."""
        if self._launcher:
            self._launcher.close()
            self._launcher = None


def modules_to_share(environment: Mapping[str, str]) -> list[str]:
    """What the launcher imports for all tasks; nothing where a fork must not go on with it.

    Args:
        environment: what a task sees.
    """
    forks = sys.platform == "linux" and GPUS not in environment  # nor Apple's libraries, nor CUDA
    return ["pu_diffusion_pipeline.preloaded"] if forks else []


def slots(setup: Setup) -> list[Slot]:
    """The slots of the workers.

    Raises:
        InvalidInput: no worker, more GPUs than there are, or what only other engines know.
    """
    setup.refuse("cpus_per_run", "memory_per_run", "engine_option")
    setup.refuse_impossible()
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
