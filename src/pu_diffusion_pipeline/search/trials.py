"""The trials of a search: what was tried, what came out, and the table from which it goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import pandas as pd

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.registry import metric_values, read_record
from pu_diffusion_pipeline.search.space import Space, Values
from pu_diffusion_pipeline.sweeps.runs import Run

State = Literal["open", "complete", "pruned", "failed"]
STATES: Mapping[str, State] = {one: one for one in get_args(State)}
SAFE, DISTANCE = "nsr", "distance"  # names in METRICS


class Measured(NamedTuple):
    """What a run has reached."""

    nsr: float
    distance: float


@dataclass
class Trial:
    """One point of the space, and its run.

    Attributes:
        values: of the searched parameters.
        run: that was made with them.
        state: open: its run is not finished yet; pruned: its looks were poor.
        measured: of a complete trial.
        looks: step to the non-sensitive rate that the watch of its training saw.
    """

    values: Values
    run: Run
    state: State = "open"
    measured: Measured | None = None
    looks: Mapping[int, float] = field(default_factory=dict)

    def complete(self) -> None:
        """Take what its run has measured."""
        self.state, self.measured = "complete", measure(self.run)
        self.looks = looks_of(self.run)

    def spelled(self) -> str:
        """Its values for readers."""
        return ", ".join(f"{name} {value:g}" for name, value in self.values.items())


def measure(run: Run) -> Measured:
    """Rate and distance of a finished run."""
    values = metric_values(read_record(run.metrics.path), counts=False)
    return Measured(float(str(values[SAFE])), float(str(values[DISTANCE])))


def open_ones(trials: Sequence[Trial], num_trials: int) -> list[Trial]:
    """The trials of an earlier call that go on: no more than there shall be at the end."""
    waiting = [one for one in trials if one.state == "open"]
    return waiting[: max(num_trials - (len(trials) - len(waiting)), 0)]


def looks_of(run: Run) -> dict[int, float]:
    """Step to the rate that the watch of its training saw; empty if nobody watches."""
    if run.configured.parameters.watch.every is None or not METHODS[run.method].trains:
        return {}
    folder = run.configured.saved(f"{run.method}.watch")
    path = folder.path / "looks.csv" if folder else None
    if path is None or not path.is_file():
        return {}
    looks = pd.read_csv(path)
    return dict(zip(looks["step"].astype(int), looks["non_sensitive_rate"], strict=True))


def read_trials(path: Path, space: Space) -> list[Trial]:
    """The trials of a search that was stopped, as far as it came.

    What is finished is read from the runs themselves. Where no trial came through, those that
    failed are tried again.

    Raises:
        InvalidInput: the table is damaged.
    """
    if not path.is_file():
        return []
    try:
        rows = pd.read_csv(path, dtype=str)
        points = [
            {name: one.rounded(float(row[name])) for name, one in space.ranges.items()}
            for row in rows.to_dict("records")
        ]
        states = [STATES[state] for state in rows["state"]]
    except (KeyError, ValueError) as error:
        raise InvalidInput(
            f"{path} is damaged ({error}); delete it: finished runs are not repeated"
        ) from error
    trials = [
        Trial(point, space.run_at(point), state)
        for point, state in zip(points, states, strict=True)
    ]
    for trial in trials:
        if trial.run.is_finished:
            trial.complete()
        elif trial.state == "complete":  # its run was deleted
            trial.state = "open"
        elif trial.state == "pruned":
            trial.looks = looks_of(trial.run)
    if not any(trial.state == "complete" for trial in trials):
        for trial in trials:
            trial.state = "open" if trial.state == "failed" else trial.state
    return trials


def table_of(trials: Sequence[Trial], limit: float) -> pd.DataFrame:
    """A row per trial.

    Returns:
        Columns number, state, the parameters, nsr, distance, is_within (its distance is at most
        `limit`), is_on_front (no other trial is better in one of the two and as good in the
        other), run (its folder).
    """
    rows = pd.DataFrame(
        {
            "number": number,
            "state": trial.state,
            **trial.values,
            **(trial.measured or Measured(float("nan"), float("nan")))._asdict(),
            "is_within": trial.measured is not None and trial.measured.distance <= limit,
            "run": trial.run.metrics.path.parent.name,
        }
        for number, trial in enumerate(trials)
    )
    rows.insert(len(rows.columns) - 1, "is_on_front", _on_front(rows))
    return rows


def _on_front(rows: pd.DataFrame) -> list[bool]:
    rates, distances = rows[SAFE], rows[DISTANCE]
    return [
        state == "complete" and not (as_good & ((rates > rate) | (distances < distance))).any()
        for state, rate, distance in zip(rows["state"], rates, distances, strict=True)
        for as_good in [(rates >= rate) & (distances <= distance)]
    ]


def best_of(rows: pd.DataFrame) -> int | None:
    """The number of the best trial within the limit, the first of equals; None: none is.

    Args:
        rows: `table_of`.
    """
    within = rows[rows["is_within"]]
    ordered = within.sort_values([SAFE, DISTANCE], ascending=[False, True], kind="stable")
    return None if ordered.empty else int(ordered["number"].iloc[0])


def write_trials(path: Path, rows: pd.DataFrame) -> None:
    """Write the table from which a search goes on."""
    with atomic_write(path) as temporary:
        rows.to_csv(temporary, index=False)
