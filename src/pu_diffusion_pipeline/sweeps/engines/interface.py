"""What a sweep needs of the place where its tasks run."""

from pathlib import Path
from typing import NamedTuple, Protocol

from pu_diffusion_pipeline.sweeps.plan import Task


class Setup(NamedTuple):
    """What an engine is told.

    Attributes:
        project: the folder in which the tasks run.
        logs: the folder of their logs, one a task: see `log_of`.
        uses_gpu: whether the runs take a CUDA device where there is one.
        workers: how many tasks run at once; None: the engine chooses.
        gpus_per_run: GPUs of a task, or a share of one; None: one if there is one.
    """

    project: Path
    logs: Path
    uses_gpu: bool = False
    workers: int | None = None
    gpus_per_run: float | None = None

    def log_of(self, task: str) -> Path:
        """The log of a task, by the task's name."""
        return self.logs / f"{task}.log"


class Ended(NamedTuple):
    """A task that runs no more.

    Attributes:
        task: its name.
        code: exit code; negative: the signal that killed it.
    """

    task: str
    code: int


class Engine(Protocol):
    """Starts tasks, and says which have ended.

    An engine never repeats a task, and keeps no order: `execution.py` does.
    """

    @property
    def capacity(self) -> int:
        """How many tasks run at once."""
        ...

    def start(self, task: Task) -> None:
        """Begin `kedro <task.arguments>`; its output goes to the end of its log."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """The tasks that have ended since the last call; waits for one, but no longer than this."""
        ...

    def stop(self, *, kill: bool) -> None:
        """Tell all tasks to end, or end them at once; `wait` still names each."""
        ...
