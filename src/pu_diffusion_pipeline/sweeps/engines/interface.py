"""What a sweep needs of the place where its tasks run."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import typed
from pu_diffusion_pipeline.sweeps.plan import Task

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Setup(NamedTuple):
    """What an engine is told.

    Attributes:
        project: the folder in which the tasks run.
        logs: the folder of their logs, one a task: see `log_of`.
        uses_gpu: whether the runs take a CUDA device where there is one.
        workers: how many tasks run at once; None: the engine chooses.
        gpus_per_run: GPUs of a task, or a share of one; None: one if there is one.
        cpus_per_run: CPUs of a task, which has as many threads; None: the engine chooses.
        memory_per_run: gigabytes that are set aside for a task; None: no limit.
        engine_option: what only this engine knows, by name.
    """

    project: Path
    logs: Path
    uses_gpu: bool = False
    workers: int | None = None
    gpus_per_run: float | None = None
    cpus_per_run: int | None = None
    memory_per_run: float | None = None
    engine_option: Mapping[str, str] = {}

    def log_of(self, task: str) -> Path:
        """The log of a task, by the task's name."""
        return self.logs / f"{task}.log"

    def begin_log(self, task: Task) -> Path:
        """The log of a task, with the command that is about to write to it."""
        log = self.log_of(task.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            output.write(f"$ {typed(task.arguments)}\n".encode())
        return log

    def refuse_impossible(self) -> None:
        """Refuse a number of workers that could do nothing, and sizes that are none.

        Raises:
            InvalidInput: naming the option.
        """
        if self.workers is not None and self.workers < 1:
            raise InvalidInput(f"--workers: expected at least 1, got {self.workers}")
        for name in ("gpus_per_run", "memory_per_run"):
            size = getattr(self, name)
            if size is not None and not (math.isfinite(size) and size >= 0):
                option = f"--{name.replace('_', '-')}"
                raise InvalidInput(f"{option}: expected a number from 0 on, got {size:g}")

    def refuse(self, *fields: str) -> None:
        """Refuse what an engine does not know.

        Raises:
            InvalidInput: one of these fields is given.
        """
        for field in fields:
            if getattr(self, field):
                option = f"--{field.replace('_', '-')}"
                raise InvalidInput(f"{option}: this engine has no such option; leave it out")


class Ended(NamedTuple):
    """A task that runs no more.

    Attributes:
        task: its name.
        code: exit code; negative: the signal that killed it.
        how: it ended, where more is known than the code says.
        is_lost: whether the place that it ran in was taken away, so that it may begin once more.
    """

    task: str
    code: int
    how: str = ""
    is_lost: bool = False


class Engine(Protocol):
    """Starts tasks, and says which have ended.

    An engine never repeats a task, and keeps no order: `execution.py` does.
    """

    @property
    def capacity(self) -> int:
        """How many tasks run at once."""
        ...

    def prepare(self, tasks: Sequence[Task], *, dry_run: bool) -> list[str]:
        """Make ready for these tasks; what to tell the user.

        Raises:
            InvalidInput: they cannot run there.
        """
        ...

    def start(self, task: Task) -> None:
        """Begin `kedro <task.arguments>`; its output goes to the end of its log."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call; waits for one, but no longer than this."""
        ...

    def stop(self, tasks: Collection[str] | None = None, *, kill: bool) -> None:
        """Tell these tasks to end, or end them at once; `wait` still names each. None: all."""
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...
