"""Runs the tasks of a sweep: each after those it needs, as many at once as the engine takes."""

import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from pu_diffusion_pipeline.errors import ProcessFailed
from pu_diffusion_pipeline.experiment.commands import typed
from pu_diffusion_pipeline.progress import spell_time
from pu_diffusion_pipeline.sweeps.engines.interface import Ended, Engine
from pu_diffusion_pipeline.sweeps.plan import Task

PATIENCE = 0.2  # seconds between two looks at Ctrl-C
LEAST = 1.0  # seconds that a task counts for at least
SIGNALLED = 128  # an exit code above it: the program was told to end by that signal
GO_ON = "The same command goes on from here."
STOPPED = "stopped"  # how a task ended that its feed did not want any more
Say = Callable[[str], object]


class Row(NamedTuple):
    """How it stands with a task.

    Attributes:
        task: its name.
        state: running, failed, waiting or done.
        seconds: so far, or in all; None: it has not run here.
    """

    task: str
    state: str
    seconds: float | None


class Feed(Protocol):
    """Makes tasks while others run; without one all tasks are known before the first begins."""

    def more(self) -> Sequence[Task]:
        """Further tasks; asked when there is room. Empty: none before another one has ended."""
        ...

    def unwanted(self) -> Collection[str]:
        """The names of tasks that are to be stopped."""
        ...

    def ended(self, name: str, how: str) -> None:
        """Hear how a task has ended: empty if it is done, STOPPED, or what went wrong."""
        ...


class Execution:
    """The state of a sweep that works.

    With a feed a task that fails is the feed's business: it is told, and `run` does not raise.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        engine: Engine,
        seconds: Mapping[str, float],
        log_of: Callable[[str], Path],
        say: Say,
        feed: Feed | None = None,
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._waiting = dict(self._tasks)
        self._engine = engine
        self._seconds = {name: max(LEAST, seconds.get(name, 0.0)) for name in self._tasks}
        self._is_estimated = {name for name, estimate in seconds.items() if estimate >= LEAST}
        self._log_of = log_of
        self._say = say
        self._feed = feed
        self._running: dict[str, float] = {}  # name to when it began
        self._done: set[str] = set()
        self._failed: dict[str, str] = {}  # name to how it ended
        self._took: dict[str, float] = {}  # seconds of those that have ended
        self._retried: set[str] = set()
        self._stopped: set[str] = set()  # as the feed wanted

    def rows(self) -> list[Row]:
        """All tasks. Another thread may ask: each `list` copies what may change."""
        now = time.monotonic()
        return [
            *(Row(name, "running", now - begun) for name, begun in list(self._running.items())),
            *(Row(name, "failed", self._took.get(name)) for name in list(self._failed)),
            *(Row(name, "waiting", None) for name in list(self._waiting)),
            *(Row(name, "done", self._took.get(name)) for name in list(self._done)),
        ]

    def run(self) -> None:
        """Run all tasks.

        Raises:
            ProcessFailed: some failed; what was said names them.
            KeyboardInterrupt: it was told to stop, and nothing runs any more.
        """
        with _counted_signals() as stops:
            while self._running or self._start_ready():
                self._note(self._engine.wait(PATIENCE))
                self._stop_unwanted()
                if stops:
                    self._stop(stops)
                    raise KeyboardInterrupt
        if self._failed:
            self._say_failures()
        if self._failed and self._feed is None:
            raise ProcessFailed(
                f"{len(self._failed)} of {len(self._tasks)} tasks failed and {len(self._waiting)} "
                "were not begun; they are named above. The same command does what is missing."
            )

    def _note(self, ended: Sequence[Ended]) -> None:
        for one in ended:
            self._end(one)
        if ended:
            self._start_ready()

    def _start_ready(self) -> bool:
        """Start what can start; whether anything runs now."""
        while (task := self._next()) is not None:
            del self._waiting[task.name]
            if task.is_finished:  # by another sweep, meanwhile
                self._finish(task.name)
                self._say(f"{self._place()} is there already: {task.name}")
            else:
                self._start(task)
        return bool(self._running)

    def _next(self) -> Task | None:
        if len(self._running) >= self._engine.capacity:
            return None
        ready = (task for task in self._waiting.values() if task.needs <= self._done)
        task = next(ready, None)
        return self._next() if task is None and self._take_more() else task

    def _take_more(self) -> bool:
        """Ask the feed; whether it had anything. What failed for others is tried again."""
        more = self._feed.more() if self._feed else ()
        for task in more:
            if task.name not in self._tasks or self._failed.pop(task.name, ""):
                self._tasks[task.name] = self._waiting[task.name] = task
        return bool(more)

    def _stop_unwanted(self) -> None:
        unwanted = self._running.keys() & set(self._feed.unwanted() if self._feed else ())
        if names := unwanted - self._stopped:
            self._stopped |= names
            self._engine.stop(names, kill=False)

    def _start(self, task: Task) -> None:
        self._running[task.name] = time.monotonic()
        self._engine.start(task)
        self._say(f"started: {task.name}")

    def _end(self, ended: Ended) -> None:
        name, code, how, is_lost = ended
        if code > SIGNALLED:  # a training that is told to end says so by its exit code
            code = SIGNALLED - code
        how = how or _how(code)
        self._took[name] = time.monotonic() - self._running.pop(name)
        duration = spell_seconds(self._took[name])
        if code == 0:
            self._finish(name)
            self._say(f"{self._place()} done in {duration}: {name}{self._time_left()}")
        elif name in self._stopped and self._feed:
            self._say(f"stopped after {duration}: {name}")
            self._feed.ended(name, STOPPED)
        elif (is_lost or code < 0) and name not in self._retried:
            self._retried.add(name)
            self._say(f"{how}: {name} after {duration}; once more")
            self._start(self._tasks[name])
        else:
            self._say(f"failed after {duration}: {name}")
            self._fail(name, how)

    def _finish(self, name: str) -> None:
        self._done.add(name)
        if self._feed:
            self._feed.ended(name, "")

    def _fail(self, name: str, how: str) -> None:
        self._failed[name] = how
        if self._feed is None:
            return
        self._feed.ended(name, how)
        for task in [one for one in self._waiting.values() if name in one.needs]:
            if self._waiting.pop(task.name, None):
                self._fail(task.name, f"{name} failed")

    def _place(self) -> str:
        """How far it is; a feed alone knows how much is to come."""
        return f"{len(self._done)} of {len(self._tasks)}" if self._feed is None else "task"

    def _time_left(self) -> str:
        """From the estimates, at the pace of the tasks that are done and that have one."""
        if self._feed is not None:
            return ""
        paced = self._done & set(self._took) & (self._is_estimated or self._done)
        expected = sum(self._seconds[name] for name in paced)
        pace = sum(self._took[name] for name in paced) / expected if expected else 1.0
        left = {name: seconds for name, seconds in self._seconds.items() if name not in self._done}
        if not left:
            return ""
        at_once = min(self._engine.capacity, len(left))
        return f"; {spell_time(pace * sum(left.values()) / at_once)} left"

    def _stop(self, stops: Sequence[int]) -> None:
        """Let the workers end; at another Ctrl-C end them."""
        self._say(f"Stopping {len(self._running)} workers; Ctrl-C again kills them.")
        self._engine.stop(kill=False)
        killed = False
        while self._running:
            for one in self._engine.wait(PATIENCE):
                del self._running[one.task]
                if one.code == 0:
                    self._done.add(one.task)
            if len(stops) > 1 and not killed:
                self._engine.stop(kill=True)
                killed = True
        count = f"{len(self._done)} of {len(self._tasks)}"
        self._say(f"Stopped: {count} tasks are done. {GO_ON}")

    def _say_failures(self) -> None:
        for name, how in self._failed.items():
            log = self._log_of(name)
            self._say(f"\nfailed: {name} ({how}): {last_message(log)}")
            self._say(f"  log: {log}")
            self._say(f"  again: {typed(self._tasks[name].arguments)}")
        for name, task in self._waiting.items():
            missing = ", ".join(sorted(task.needs - self._done))
            self._say(f"not begun: {name} needs {missing}")


@contextmanager
def _counted_signals() -> Iterator[list[int]]:
    """Ctrl-C and the signals of schedulers, noted instead of raised: no process is forgotten."""
    caught: list[int] = []
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # What is ignored stays so: nohup ignores SIGHUP, and nothing else.
    numbers = [one for one in every if signal.getsignal(one) is not signal.SIG_IGN]
    before = [signal.signal(one, lambda number, frame: caught.append(number)) for one in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by signal {-code}" + (": out of memory?" if -code == signal.SIGKILL else "")


def last_message(log: Path) -> str:
    """What a task said last: the command line's message, or the last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    begun = max((number for number, line in enumerate(lines) if line.startswith("$ ")), default=0)
    lines = [line for line in lines[begun:] if line.strip()]  # without what an earlier call said
    errors = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    return "\n".join(lines[errors[-1] :] if errors else lines[-1:])


def spell_seconds(seconds: float) -> str:
    """A duration such as `1 min 12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join([*parts, f"{rest} s"])
