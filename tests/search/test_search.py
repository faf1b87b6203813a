"""The search on an engine that makes up what runs measure: rate and distance of beta, known."""

import json
import math
import shutil
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from conftest import REPO
from pu_diffusion_pipeline import cli_search
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.search import command, optimizer
from pu_diffusion_pipeline.search.optimizer import first_points, is_poor, propose
from pu_diffusion_pipeline.search.space import Range, Search, Space, parse_range
from pu_diffusion_pipeline.search.trials import Measured, Trial, best_of, open_ones, table_of
from pu_diffusion_pipeline.sweeps import command as sweeps
from pu_diffusion_pipeline.sweeps.command import How, Talk
from pu_diffusion_pipeline.sweeps.engines.interface import Ended
from sweeps.fakes import finish

pytest.importorskip("optuna", reason="the extra search is not installed")

BETA = {"beta": Range(0.05, 0.3)}
WATCH = {"watch": {"every": 2}}
BEST = 0.16  # the largest beta whose distance is at most 1.1 times that of beta 0


def nsr_of(beta: float) -> float:
    return 0.87 + 0.6 * beta


def distance_of(beta: float) -> float:
    return 50.0 + max(0.0, beta - 0.15) * 500


@pytest.fixture
def project(tmp_path):
    shutil.copytree(REPO / "conf", tmp_path / "conf")
    return tmp_path


class Machine:
    """An engine that ends a task at the next look, writes what it measures, notes its beta.

    Args:
        capacity: tasks at once.
        fails: betas whose runs fail.
        stops_after: trials after which Ctrl-C is pressed.
        looks: of a watched training, one at each call of `wait`; then the run is finished.
    """

    def __init__(self, capacity=1, fails=lambda beta: False, stops_after=None, looks=None):
        self.capacity, self.fails, self.stops_after = capacity, fails, stops_after
        self.looks = looks or (lambda beta: [])
        self.betas, self.most, self.stopped = [], 0, []
        self._running = {}

    def prepare(self, tasks, *, dry_run) -> list[str]:
        return []

    def start(self, task) -> None:
        beta = task.run.given.get("beta") if task.run else None
        if beta is not None:
            if self.stops_after == len(self.betas):
                raise KeyboardInterrupt
            self.betas.append(beta)
        self._running[task.name] = (task, beta, list(self.looks(beta)) if beta else [])
        self.most = max(self.most, len(self._running))

    def wait(self, seconds) -> list[Ended]:
        ended = []
        for name, (task, beta, looks) in list(self._running.items()):
            if name in self.stopped:
                ended.append(Ended(name, 143))
            elif looks:
                look(task.run, looks.pop(0))
            elif beta is not None and self.fails(beta):
                ended.append(Ended(name, 1))
            else:
                measure(task, beta or 0.0)
                ended.append(Ended(name, 0))
        for one in ended:
            del self._running[one.task]
        return ended

    def stop(self, tasks=None, *, kill) -> None:
        self.stopped += tasks

    def close(self) -> None: ...


def look(run, rate: float) -> None:
    path = run.configured.saved("pu.watch").path / "looks.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame()
    row = pd.DataFrame({"step": [2 * len(rows) + 2], "non_sensitive_rate": [rate]})
    pd.concat([rows, row]).to_csv(path, index=False)


def measure(task, beta: float) -> None:
    for saved in task.makes:
        finish(saved, task.run)
    if task.run is not None:
        record = {"non_sensitive_rate": {"value": nsr_of(beta)},
                  "fidelity": {"frechet_distance": distance_of(beta)}}  # fmt: skip
        task.run.metrics.path.write_text(json.dumps(record))


class Searching:
    """Searches on a machine; keeps what was said, the folder and the table."""

    def __init__(self, project) -> None:
        self.project = project

    def __call__(self, machine, num_trials, **asked) -> None:
        self.said = []
        wanted = Search("test", **{"ranges": BETA, **asked})
        self.folder = self.project / "data/08_reporting/searches" / wanted.name
        talk = Talk(self.said.append, str)
        with (
            patch.object(sweeps, "ENGINES", {"local": lambda setup: machine}),
            patch.object(sweeps, "estimate_seconds", lambda tasks: {}),
        ):
            command.search(wanted, self.project, num_trials, How(), talk)
        self.rows = pd.read_csv(self.folder / "trials.csv")


@pytest.fixture
def search(project):
    return Searching(project)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search of seven trials that nothing stopped, and the betas of its runs."""
    project = tmp_path_factory.mktemp("whole")
    shutil.copytree(REPO / "conf", project / "conf")
    found, machine = Searching(project), Machine()
    found(machine, 7)
    return found, machine.betas


def test_it_finds_the_best_beta_within_the_limit_and_draws_the_front(whole):
    search, _ = whole
    rows = search.rows
    assert rows["beta"].iloc[best_of(rows)] == pytest.approx(BEST, abs=0.01)
    assert (rows[~rows["is_within"]]["distance"] > 55).all()
    front = rows[rows["is_on_front"]].drop_duplicates("beta").sort_values("distance")
    assert all(low < high for low, high in pairwise(front["nsr"]))
    assert (search.folder / "front.svg").read_text().count("hover: beta") == 7
    assert "**" in (search.folder / "trials.md").read_text()
    assert search.said[-1].startswith("Best: beta 0.16")


def test_the_trials_follow_from_seed_and_results(whole):
    known = [trial(beta, nsr_of(beta), distance_of(beta)) for beta in (0.06, 0.15, 0.2, 0.28)]
    assert propose(BETA, known, 55.0, 0) == propose(BETA, known, 55.0, 0)
    assert first_points(BETA, 0) == first_points(BETA, 0) != first_points(BETA, 1)
    assert [{"beta": beta} for beta in whole[1][:4]] == first_points(BETA, 0)


def test_a_stopped_search_goes_on_repeats_nothing_and_ends_the_same(search, whole):
    expected, betas = whole
    first, second = Machine(stops_after=5), Machine()
    with pytest.raises(KeyboardInterrupt):
        search(first, 7)
    search(second, 7)
    assert first.betas + second.betas == betas
    pd.testing.assert_frame_equal(search.rows, expected.rows)


def test_without_its_table_it_finds_the_finished_runs_again(whole):
    search, _ = whole
    expected, again = search.rows, Machine()
    (search.folder / "trials.csv").unlink()
    search(again, 7)
    assert again.betas == []
    pd.testing.assert_frame_equal(search.rows, expected)


def test_more_trials_are_added_to_those_that_are_there(search):
    first, second = Machine(), Machine()
    search(first, 3)
    search(second, 5)
    assert (len(first.betas), len(second.betas)) == (3, 2)
    assert list(search.rows["beta"])[:3] == first.betas


def test_several_trials_run_at_once(search):
    machine = Machine(capacity=3)
    search(machine, 5)
    assert machine.most == 3
    assert len(machine.betas) == 5


def test_where_there_is_room_for_many_most_trials_still_wait_for_results(search):
    machine = Machine(capacity=100)
    search(machine, 8)
    assert machine.most == optimizer.NUM_FIRST


def test_fewer_trials_than_are_there_end_some_open_ones():
    there = [trial(0.1, 0.9), trial(0.2), trial(0.15, 0.9), trial(0.3)]
    assert [one.values["beta"] for one in open_ones(there, 3)] == [0.2]
    assert open_ones(there, 2) == []


def test_beta_may_be_fixed_where_something_else_is_searched(project):
    ranges = {"training.learning_rate": Range(1e-4, 1e-3, is_log=True)}
    space = Space(Search("test", ranges=ranges, params={"beta": 0.2}), project)
    assert space.run_at({"training.learning_rate": 2e-4}).configured.parameters.beta == 0.2
    ranges = {"sensitivity.beta": Range(0.05, 0.2)}  # a number that may be a word
    Space(Search("test", "pu_weighted", ranges=ranges), project)


def test_a_failed_trial_is_noted_and_neither_ends_the_search_nor_is_repeated(search):
    machine = Machine(fails=lambda beta: beta > 0.24)
    search(machine, 5)
    failed = search.rows["state"] == "failed"
    assert 0 < failed.sum() < 5
    assert (search.rows["beta"][failed] > 0.24).all()
    assert len(machine.betas) == 5
    again = Machine()
    search(again, 5)
    assert again.betas == []


def test_where_all_fail_it_ends_early_and_tries_again_the_next_time(search):
    machine = Machine(fails=lambda beta: True)
    with pytest.raises(ProcessFailed, match="No trial came through"):
        search(machine, 20)
    assert len(machine.betas) == 3
    search(Machine(), 4)
    assert (search.rows["state"] == "complete").all()


def test_a_trial_below_the_median_of_the_looks_is_stopped_and_stays_so(search):
    machine = Machine(looks=lambda beta: [0.7 if len(machine.betas) == 4 else 0.8, 0.9])
    search(machine, 5, params=WATCH, within=3.0)
    rows = search.rows
    states = ["complete"] * 5
    states[3] = "pruned"
    assert list(rows["state"]) == states
    assert len(machine.stopped) == 1
    assert not rows["is_on_front"][3]
    again = Machine()
    search(again, 5, params=WATCH, within=3.0)
    assert again.betas == []
    pd.testing.assert_frame_equal(search.rows, rows)


def test_a_dry_run_runs_and_writes_nothing(project, monkeypatch):
    machine = Machine()
    monkeypatch.setattr(sweeps, "estimate_seconds", lambda tasks: {})
    monkeypatch.setattr(sweeps, "ENGINES", {"local": lambda setup: machine})
    said = []
    how = How(dry_run=True)
    assert not command.search(Search("test", ranges=BETA), project, 9, how, Talk(said.append, str))
    assert machine.most == 0
    assert not (project / "data").exists()
    assert sum("--pipelines=train_pu" in line for line in said) == optimizer.NUM_FIRST
    assert said[-1].startswith("Then 5 more trials")


def trial(beta, nsr=None, distance=10.0, looks=None):
    measured = None if nsr is None else Measured(nsr, distance)
    state = "open" if nsr is None else "complete"
    return Trial({"beta": beta}, None, state, measured, looks or {})


def test_looks_are_compared_with_those_of_trials_within_the_limit():
    others = [trial(0.1, 0.9, looks={2: 0.80}), trial(0.12, 0.9, looks={2: 0.82})]
    ruined = [trial(beta, 0.99, distance=90.0, looks={2: 0.99}) for beta in (0.2, 0.22, 0.25, 0.3)]
    for rate, poor in ((0.79, True), (0.83, False)):
        looking = trial(0.15, looks={2: rate})
        assert is_poor(BETA, looking, [*others, *ruined, looking], limit=20.0) == poor
    assert not is_poor(BETA, trial(0.15, looks={2: 0.1}), others[:1], limit=20.0)
    assert not is_poor(BETA, trial(0.15), others, limit=20.0)
    alone = [others[0], trial(0.12, 0.9)]  # the second was not watched
    for known in (alone, [others[0], others[0]]):
        assert not is_poor(BETA, trial(0.15, looks={2: 0.1}), known, limit=20.0)


def test_points_have_few_digits_and_lie_in_their_ranges():
    ranges = {"a": Range(1e-4, 1e-3, is_log=True), "b": Range(10, 20, is_whole=True),
              "c": Range(0.12345, 0.12346)}  # fmt: skip
    points = first_points(ranges, 0)
    for name, one in ranges.items():
        values = [point[name] for point in points]
        assert all(one.low <= value <= one.high for value in values)
    assert all(isinstance(point["b"], int) for point in points)
    assert all(float(f"{point['a']:.3g}") == point["a"] for point in points)
    quarters = [math.floor(4 * math.log10(point["a"] / 1e-4)) for point in points]
    assert sorted(quarters) == [0, 1, 2, 3]


def test_what_runs_or_failed_is_not_proposed_again():
    known = [trial(beta, nsr_of(beta)) for beta in np.linspace(0.05, 0.2, 5)]
    proposed = propose(BETA, known, 100.0, 0)["beta"]
    waiting = trial(proposed)
    assert abs(propose(BETA, [*known, waiting], 100.0, 0)["beta"] - proposed) > 0.005


def test_the_front_and_the_best_are_those_of_complete_trials(project):
    space = Space(Search("test", ranges=BETA), project)
    reached = {0.1: (0.90, 40.0), 0.15: (0.93, 50.0), 0.2: (0.92, 60.0), 0.3: (0.99, 90.0)}
    trials = [
        Trial({"beta": beta}, space.run_at({"beta": beta}), "complete", Measured(*one))
        for beta, one in reached.items()
    ]
    trials.append(Trial({"beta": 0.25}, space.run_at({"beta": 0.25}), "pruned"))
    rows = table_of(trials, limit=55.0)
    assert list(rows["is_on_front"]) == [True, True, False, True, False]
    assert best_of(rows) == 1
    assert best_of(table_of(trials, limit=30.0)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.3:0.05", "expected LOW below HIGH"),
        ("0.1:0.1", "expected LOW below HIGH"),
        ("0.1", "expected LOW:HIGH or"),
        ("0.1:x", "expected LOW:HIGH or"),
        ("0.1:nan", "expected LOW:HIGH or"),
        ("0.1:0.2:ln", "expected LOW:HIGH or"),
        ("0:1:log", "expected LOW above 0"),
    ],
)
def test_a_range_that_cannot_be_is_refused(text, message):
    with pytest.raises(InvalidInput, match=f"--beta: {message}"):
        parse_range("--beta", text)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"ranges": {}}, "nothing to search"),
        ({"within": 0.0}, "--within: expected a number above 0, got 0"),
        ({"within": math.nan}, "--within: expected a number above 0"),
        ({"benchmark": "tset"}, "--env: no benchmark 'tset'"),
        ({"method": "pv"}, "--method: must be one of"),
        ({"method": "clean"}, "--beta: clean does not use beta"),
        ({"ranges": {"beta": Range(0.1, 1.5)}}, r"beta: must be a number in \[0, 1\)"),
        ({"ranges": {"training.learnin_rate": Range(1, 2)}}, "did you mean training.learning_rate"),
        ({"ranges": {"guiding.weight": Range(0.1, 1)}}, "guiding.weight makes no difference to pu"),
        ({"ranges": {"training.log_every": Range(1, 2)}}, "makes no difference to pu"),
        ({"ranges": {"training.num_steps": Range(1.5, 2)}}, "whole numbers, got 1.5:2"),
        ({"ranges": {"noise.schedule": Range(1, 2)}}, "expected a parameter that is a number"),
        ({"ranges": {"seed": Range(1, 2)}}, "seed is set by --seed here"),
        ({"params": {"beta": 0.1}}, "beta is set by --beta here"),
        ({"params": {"seed": 1}}, "seed is set by --seed here"),
    ],
)
def test_a_mistake_gets_one_message_before_anything_starts(project, asked, message):
    with pytest.raises(InvalidInput, match=message):
        Space(Search(**{"benchmark": "test", "ranges": BETA, **asked}), project)
    assert not (project / "data").exists()


def test_no_trials_and_no_optuna_are_refused(search, monkeypatch):
    with pytest.raises(InvalidInput, match="--trials: expected at least 1, got 0"):
        search(Machine(), 0)
    monkeypatch.setattr(optimizer, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"needs Optuna: pip install .*\[search\]"):
        search(Machine(), 4)


def test_a_damaged_table_is_named(search):
    search(Machine(), 1)
    (search.folder / "trials.csv").write_text("number,state\n0,complete\n")
    with pytest.raises(InvalidInput, match=r"trials.csv is damaged .*delete it"):
        search(Machine(), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "sampling.num_steps"], "expected NAME=LOW:HIGH"),
        (["--set", "a.b=1:2", "--set", "a.b=1:3"], "a.b is given twice"),
        (["--beta", "0.2:0.1"], "--beta: expected LOW below HIGH"),
        (["--trials", "x"], "not a valid integer"),
    ],
)
def test_a_command_that_cannot_be_read_is_refused(arguments, message):
    result = CliRunner().invoke(cli_search.search, arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
