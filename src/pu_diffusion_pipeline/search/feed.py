"""The trials as tasks of an execution: each is one run, the next is chosen when there is room."""

from collections.abc import Sequence
from pathlib import Path

from pu_diffusion_pipeline.metrics.registry import METRICS
from pu_diffusion_pipeline.search.optimizer import is_poor, propose
from pu_diffusion_pipeline.search.space import Space
from pu_diffusion_pipeline.search.trials import (
    DISTANCE,
    SAFE,
    State,
    Trial,
    looks_of,
    open_ones,
    table_of,
    write_trials,
)
from pu_diffusion_pipeline.sweeps.execution import STOPPED, Say
from pu_diffusion_pipeline.sweeps.plan import Task, plan_of

MOST_FAILED = 3  # at the beginning, before it is likely that all will fail


class TrialFeed:
    """A `Feed` of trials.

    Args:
        space: of the runs.
        trials: those of an earlier call; new ones are added.
        num_trials: how many there will be.
        limit: of the distance.
        table: the file that always holds the trials so far.
        capacity: how many run at once.
        say: prints a line.
    """

    def __init__(
        self,
        space: Space,
        trials: list[Trial],
        num_trials: int,
        limit: float,
        table: Path,
        capacity: int,
        say: Say,
    ) -> None:
        self._space, self._trials, self._num_trials = space, trials, num_trials
        self._limit, self._table, self._capacity, self._say = limit, table, capacity, say
        self._waiting = open_ones(trials, num_trials)
        self._running: dict[str, list[Trial]] = {}  # the run's task to the trials that it is for

    def more(self) -> Sequence[Task]:
        """See `Feed`: the tasks of the next trial whose run is not there."""
        while sum(map(len, self._running.values())) < self._capacity:
            trial = self._next()
            if trial is None:
                break
            self._save()
            if trial.run.is_finished:
                self._end(trial, "complete")
                continue
            if twin := self._ended_twin(trial):
                self._end(trial, twin.state)
                continue
            tasks = plan_of([trial.run]).tasks
            self._running.setdefault(tasks[-1].name, []).append(trial)
            self._say(f"{self._place(trial)}: {trial.spelled()}")
            return tasks
        return ()

    def unwanted(self) -> Sequence[str]:
        """See `Feed`: trials whose looks are poor."""
        poor = []
        for name, (trial, *_) in self._running.items():
            looks = looks_of(trial.run)
            if looks != trial.looks:
                trial.looks = looks
                if is_poor(self._space.ranges, trial, self._trials, self._limit):
                    poor.append(name)
        return poor

    def ended(self, name: str, how: str) -> None:
        """See `Feed`."""
        for trial in self._running.pop(name, ()):
            if trial.run.is_finished:
                self._end(trial, "complete")
            else:
                self._end(trial, "pruned" if how == STOPPED else "failed")

    def _next(self) -> Trial | None:
        if self._waiting:
            return self._waiting.pop(0)
        if len(self._trials) >= self._num_trials or self._all_fail:
            return None
        seed = self._space.search.seed
        values = propose(self._space.ranges, self._trials, self._limit, seed)
        trial = Trial(values, self._space.run_at(values))
        self._trials.append(trial)
        return trial

    @property
    def _all_fail(self) -> bool:
        states = [one.state for one in self._trials if one.state != "open"]
        return len(states) >= MOST_FAILED and set(states) == {"failed"}

    def _ended_twin(self, trial: Trial) -> Trial | None:
        """An earlier trial of the same run that has ended."""
        metrics = trial.run.metrics
        twins = (one for one in self._trials if one is not trial and one.run.metrics == metrics)
        return next((one for one in twins if one.state != "open"), None)

    def _end(self, trial: Trial, state: State) -> None:
        if state == "complete":
            trial.complete()
        trial.state = state
        self._save()
        self._say(f"{self._place(trial)}: {trial.spelled()}: {_outcome(trial, self._limit)}")

    def _place(self, trial: Trial) -> str:
        number = next(place for place, one in enumerate(self._trials, 1) if one is trial)
        return f"trial {number} of {self._num_trials}"

    def _save(self) -> None:
        write_trials(self._table, table_of(self._trials, self._limit))


def _outcome(trial: Trial, limit: float) -> str:
    if trial.measured is None:
        return trial.state
    rate, distance = METRICS[SAFE], METRICS[DISTANCE]
    reached = f"{rate.symbol} {rate.text(trial.measured.nsr)}"
    reached += f", {distance.symbol} {distance.text(trial.measured.distance)}"
    above = f" (above {distance.text(limit)})"
    return reached + above * (trial.measured.distance > limit)
