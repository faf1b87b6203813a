"""What `kedro sweep` says and refuses before anything starts."""

import shutil
from types import SimpleNamespace

import pytest

from conftest import REPO
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.sweeps import command
from pu_diffusion_pipeline.sweeps.arguments import Request
from pu_diffusion_pipeline.sweeps.command import How, Talk, sweep
from pu_diffusion_pipeline.sweeps.plan import Plan, make_plan

ASKED = Request(benchmarks=("test",), methods=("unsupervised",), seeds=(0,))


def test_an_environment_of_kedro_is_refused(monkeypatch):
    monkeypatch.setenv("KEDRO_ENV", "test")
    with pytest.raises(InvalidInput, match=r"KEDRO_ENV is test, .* unset KEDRO_ENV"):
        sweep(ASKED, REPO, How(), Talk(print, print))


@pytest.mark.parametrize(
    ("seconds", "capacity", "told"),
    [([60] * 4, 2, "2 minutes with 2"), ([60], 100, "a minute,"), ([300, 60], 2, "5 minutes")],
)
def test_the_time_is_never_shorter_than_the_longest_run(seconds, capacity, told, monkeypatch):
    named = {str(number): float(one) for number, one in enumerate(seconds)}
    monkeypatch.setattr(command, "estimate_seconds", lambda tasks: named)
    said = []
    command.estimate(Plan([], []), SimpleNamespace(capacity=capacity), said.append)
    assert f"about {told}" in said[-1]


def test_what_this_machine_cannot_time_runs_elsewhere_all_the_same(monkeypatch):
    def refuse(tasks):
        raise InvalidInput("device is cuda, but this machine has none")

    monkeypatch.setattr(command, "estimate_seconds", refuse)
    said = []
    given = (Plan([], []), SimpleNamespace(capacity=1), said.append)
    assert command.estimate(*given, is_here=False) == {}
    assert said[-1] == "Not estimated: device is cuda, but this machine has none"
    with pytest.raises(InvalidInput, match="this machine has none"):
        command.estimate(*given)


@pytest.mark.parametrize(("locks", "expected"), [("off", "off"), ("wait", "leave")])
def test_without_locks_of_folders_the_sweep_takes_none(locks, expected, tmp_path):
    shutil.copytree(REPO / "conf", tmp_path / "conf")
    asked = ASKED.model_copy(update={"params": {"folder_locks": locks}})
    assert command.policy_of(How(policy="leave"), make_plan(asked, tmp_path).runs) == expected
