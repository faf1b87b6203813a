"""The executor: order, failures, lost workers, Ctrl-C, two sweeps at once, cores and GPUs."""

import os
import signal
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.sweeps import execution
from pu_diffusion_pipeline.sweeps.arguments import Request
from pu_diffusion_pipeline.sweeps.engines import local
from pu_diffusion_pipeline.sweeps.engines.interface import Ended, Setup
from pu_diffusion_pipeline.sweeps.execution import Execution, spell_seconds
from pu_diffusion_pipeline.sweeps.plan import Task
from sweeps.fakes import (
    InBackground,
    begun,
    finish,
    lives,
    make_project,
    processes,
    run_sweep,
    task,
    told,
)


@pytest.fixture(params=["forked", "started"])
def project(request, tmp_path, monkeypatch):
    """One whose tasks are forks of the launcher, or processes that it starts anew."""
    modules = ("json",) if request.param == "forked" else ()
    return make_project(tmp_path / "project", monkeypatch, modules)


def test_tasks_run_after_those_they_need(project):
    tasks = [
        task(project, "run", needs=("judge", "images")),
        task(project, "judge", needs=("images",)),
    ]
    said = run_sweep(project, [*tasks, task(project, "images", "pause")], workers=2)
    assert begun(project) == ["images", "judge", "run"]
    assert said[-1].startswith("3 of 3 done in ")


def test_a_failure_stops_only_those_that_need_it_and_is_told_at_the_end(project):
    tasks = [
        task(project, "judge"),
        task(project, "bad", "fail"),
        task(project, "after_bad", needs=("bad",)),
        task(project, "good", needs=("judge",)),
    ]
    with pytest.raises(ProcessFailed, match="1 of 4 tasks failed and 1 were not begun"):
        run_sweep(project, tasks)
    assert begun(project) == ["judge", "bad", "good"]
    said = (project / "said").read_text()
    assert "failed: bad (exit code 1): Error: training diverged" in said
    assert "again: kedro fail bad" in said
    assert "not begun: after_bad needs bad" in said
    log = next(line for line in said.splitlines() if line.startswith("  log: "))
    assert "working" in Path(log.removeprefix("  log: ")).read_text()


def test_the_same_command_does_the_rest(project):
    tasks = [task(project, "judge"), task(project, "run", "fail_once", needs=("judge",))]
    with pytest.raises(ProcessFailed):
        run_sweep(project, tasks)
    said = run_sweep(project, tasks)
    assert begun(project) == ["judge", "run", "run"]
    assert "1 of 2 is there already: judge" in said


def test_a_lost_worker_is_told_and_its_task_begun_once_more(project):
    said = run_sweep(project, [task(project, "run", "die_once")])
    assert begun(project) == ["run", "run"]
    assert any(line.startswith("killed by signal 9: out of memory?: run after") for line in said)


def test_a_training_that_was_told_to_end_begins_once_more(project):
    said = run_sweep(project, [task(project, "run", "told_to_end_once")])
    assert any(line.startswith("killed by signal 15: run") for line in said)
    assert begun(project) == ["run", "run"]


def test_a_signal_that_is_ignored_stays_so():
    """What `nohup` does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with execution._counted_signals() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
        assert caught == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_task_that_is_killed_twice_has_failed(project):
    with pytest.raises(ProcessFailed):
        run_sweep(project, [task(project, "run", "die")])
    assert begun(project) == ["run", "run"]
    assert "failed: run (killed by signal 9: out of memory?)" in (project / "said").read_text()


def test_tasks_begin_once_more_where_the_process_that_begins_them_is_killed(project):
    said = run_sweep(project, [task(project, "run", "end_parent_once"), task(project, "later")])
    assert begun(project) == ["run", "run", "later"]
    assert any(line.startswith("the process that begins the tasks has ended") for line in said)
    until = time.monotonic() + 10
    while any(lives(pid) for pid in processes(project)):
        assert time.monotonic() < until, "the first one goes on"
        time.sleep(0.05)


def test_one_ctrl_c_stops_the_workers_and_what_they_started(project):
    tasks = [task(project, "first"), task(project, "long", "sleep"), task(project, "later")]
    sweep = InBackground(project, tasks)
    sweep.wait_until(lambda: len(processes(project)) == 3)  # the first, the long one, its child
    sweep.press_ctrl_c()
    assert sweep.end() == 130
    assert [pid for pid in processes(project) if lives(pid)] == []
    assert "Stopped: 1 of 3 tasks are done. The same command goes on from here." in sweep.said
    assert begun(project) == ["first", "long"]


def test_workers_end_with_a_sweep_that_is_killed(project):
    sweep = InBackground(project, [task(project, "long", "sleep"), task(project, "later")])
    sweep.wait_until(lambda: len(processes(project)) == 2)  # the long one and its child
    sweep.kill()
    assert sweep.end() == -signal.SIGKILL
    until = time.monotonic() + 10
    while any(lives(pid) for pid in processes(project)):
        assert time.monotonic() < until, "they go on"
        time.sleep(0.05)
    assert begun(project) == ["long"]


def test_another_ctrl_c_kills_a_worker_that_does_not_stop(project):
    sweep = InBackground(project, [task(project, "run", "stubborn")])
    sweep.wait_until((project / "ready").exists)
    sweep.press_ctrl_c()
    sweep.wait_until(lambda: "Stopping 1 workers" in sweep.said)
    assert all(lives(pid) for pid in processes(project))
    sweep.press_ctrl_c()
    assert sweep.end() == 130
    assert [pid for pid in processes(project) if lives(pid)] == []


def test_another_ctrl_c_ends_the_process_that_still_imports(tmp_path, monkeypatch):
    project = make_project(tmp_path / "slow", monkeypatch, modules=("slow",))
    (project / "slow.py").write_text("import time; open('imports', 'w'); time.sleep(60)")
    sweep = InBackground(project, [task(project, "run")])
    sweep.wait_until((project / "imports").exists)
    sweep.press_ctrl_c()
    sweep.wait_until(lambda: "Stopping 1 workers" in sweep.said)
    sweep.press_ctrl_c()
    began = time.monotonic()
    assert sweep.end() == 130
    assert time.monotonic() - began < 30
    assert begun(project) == []


class Feed:
    """Tasks one after the other; those called `unwanted` are to be stopped once they have begun."""

    def __init__(self, project, *rounds) -> None:
        self.project, self.rounds, self.heard = project, list(rounds), []

    def more(self):
        return self.rounds.pop(0) if self.rounds else ()

    def unwanted(self):
        return ["unwanted"] if len(processes(self.project)) >= 3 else []

    def ended(self, name, how) -> None:
        self.heard.append((name, how))


def run_feed(project, *rounds, workers=1):
    feed, said = Feed(project, *rounds), []
    setup = Setup(project, project / "logs", workers=workers)
    engine = local.LocalEngine(setup)
    Execution((), engine, {}, setup.log_of, said.append, feed).run()
    return feed.heard, "\n".join(said)


def test_a_feed_gives_tasks_and_hears_how_they_ended(project):
    finished = task(project, "there")
    for saved in finished.makes:
        finish(saved)
    rounds = [
        [task(project, "shared"), task(project, "run", needs=("shared",))],
        [task(project, "bad", "fail"), task(project, "after", needs=("bad",))],
        [finished, task(project, "again", "die_once")],
        [task(project, "bad"), task(project, "last", needs=("bad",))],
    ]
    heard, said = run_feed(project, *rounds)
    assert heard == [
        *[("shared", ""), ("run", ""), ("bad", "exit code 1"), ("after", "bad failed")],
        *[("there", ""), ("again", ""), ("bad", ""), ("last", "")],
    ]
    assert "failed: after (bad failed)" in said


def test_an_unwanted_task_is_stopped_and_the_others_go_on(project):
    rounds = [[task(project, "unwanted", "sleep")], [task(project, "run", "pause")]]
    heard, _ = run_feed(project, *rounds, workers=2)
    assert sorted(heard) == [("run", ""), ("unwanted", "stopped")]
    assert [pid for pid in processes(project) if lives(pid)] == []
    assert sorted(begun(project)) == ["run", "unwanted"]  # neither was begun again


def test_two_equal_sweeps_at_once_make_everything_once(project):
    tasks = [task(project, name, "pause") for name in ("one", "two", "three")]
    both = [InBackground(project, tasks), InBackground(project, tasks)]
    assert [one.end() for one in both] == [0, 0]
    assert sorted(begun(project)) == ["one", "three", "two"]


def test_the_second_sweep_leaves_where_it_is_told_to(project):
    folder = project / "data/08_reporting/sweeps" / Request().name
    with (
        hold(folder, "wait", is_shared=False),
        pytest.raises(InvalidInput, match="Another run works in"),
    ):
        run_sweep(project, [task(project, "run")], policy="leave")
    assert begun(project) == []


def test_workers_have_their_own_cores_and_as_many_threads(project, monkeypatch):
    monkeypatch.setattr(local, "_divided_cores", lambda workers: [(0,)] * workers)
    run_sweep(project, [task(project, name, "pause") for name in ("one", "two")], workers=2)
    for name in ("one", "two"):
        seen = told(project, name)
        assert (seen["OMP_NUM_THREADS"], seen["MKL_NUM_THREADS"]) == ("1", "1")
        assert seen["cores"] == [0]


@pytest.mark.parametrize(
    ("platform", "sees", "is_shared"),
    [("linux", {}, True), ("darwin", {}, False), ("linux", {local.GPUS: "0"}, False)],
)
def test_tasks_share_imports_where_a_fork_is_safe(monkeypatch, platform, sees, is_shared):
    monkeypatch.setattr(local.sys, "platform", platform)
    assert bool(local.modules_to_share(sees)) is is_shared


@pytest.mark.parametrize(
    ("cores", "workers", "divided"),
    [
        (range(8), 2, [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (range(5), 2, [(0, 1), (2, 3)]),
        ([3], 2, [(3,), (3,)]),
    ],
)
def test_cores_are_divided(cores, workers, divided, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(cores))
    assert local._divided_cores(workers) == divided


def gpus_of(monkeypatch, gpus, **setup):
    monkeypatch.setattr(local, "_gpus", lambda: gpus)
    slots = local.slots(Setup(None, None, uses_gpu=True, **setup))
    return [slot.environment.get("CUDA_VISIBLE_DEVICES") for slot in slots]


def test_workers_share_the_gpus(monkeypatch):
    assert gpus_of(monkeypatch, ["2", "5"]) == ["2", "5"]
    assert gpus_of(monkeypatch, ["0", "1"], gpus_per_run=0.5) == ["0", "0", "1", "1"]
    assert gpus_of(monkeypatch, ["0", "1", "2", "3"], gpus_per_run=2) == ["0,1", "2,3"]
    assert gpus_of(monkeypatch, ["0", "1"], workers=1) == ["0"]
    assert gpus_of(monkeypatch, [], workers=2) == [None, None]


@pytest.mark.parametrize(
    ("gpus", "setup", "message"),
    [
        ([], {"workers": 0}, "--workers: expected at least 1, got 0"),
        ([], {"gpus_per_run": 0.5}, "expected a machine with GPUs, got 0.5"),
        (["0"], {"workers": 3, "gpus_per_run": 0.5}, "more than there are: 1"),
        (["0"], {"gpus_per_run": 2}, "--gpus-per-run: expected at most 1, got 2"),
        (["0"], {"gpus_per_run": 1.5}, "expected a whole number, or a share"),
        (["0"], {"gpus_per_run": 0}, "expected a number above 0"),
    ],
)
def test_more_than_the_machine_has_is_refused(gpus, setup, message, monkeypatch):
    with pytest.raises(InvalidInput, match=message):
        gpus_of(monkeypatch, gpus, **setup)


def test_durations_are_spelled():
    assert [spell_seconds(one) for one in (0.4, 72, 3600)] == ["0 s", "1 min 12 s", "1 h 0 s"]


class OnPaper:
    """An engine whose tasks take what a clock says that they take."""

    capacity = 2

    def __init__(self, clock: Mock, take: dict[str, float]) -> None:
        self._clock, self._take = clock, take
        self._running: list[str] = []

    def start(self, task: Task) -> None:
        self._running.append(task.name)

    def wait(self, seconds: float) -> list[Ended]:
        name = self._running.pop(0)
        self._clock.monotonic.return_value += self._take[name]
        return [Ended(name, 0)]


def test_the_time_left_goes_by_the_pace_of_tasks_that_were_estimated(tmp_path, monkeypatch):
    clock = Mock(monotonic=Mock(return_value=0.0))
    monkeypatch.setattr(execution, "time", clock)
    tasks = [
        task(tmp_path, "data"),
        *(task(tmp_path, f"train_{number}", needs=("data",)) for number in range(5)),
    ]
    estimates = {"data": 0.0} | {f"train_{number}": 600.0 for number in range(5)}
    take = {"data": 60.0} | {f"train_{number}": 1200.0 for number in range(5)}
    said: list[str] = []
    Execution(tasks, OnPaper(clock, take), estimates, Path, said.append).run()
    left = [line.rpartition("about ")[2] for line in said if "done in" in line]
    # Data says nothing about trainings. Both of the first two began when it was done: one took
    # twice its estimate, the other, which ended 20 minutes later, four times.
    assert left[:3] == ["25 minutes left", "40 minutes left", "45 minutes left"]
    assert "left" not in said[-1]
