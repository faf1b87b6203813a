"""The engine `ray` on a Ray of this machine (or of RAY_ADDRESS)."""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from conftest import REPO
from pu_diffusion_pipeline import ray_connection
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.ray_connection import Needs
from pu_diffusion_pipeline.sweeps.engines import ray_cluster
from pu_diffusion_pipeline.sweeps.engines.interface import Setup
from pu_diffusion_pipeline.sweeps.engines.ray_cluster import RayEngine
from pu_diffusion_pipeline.sweeps.execution import Execution
from pu_diffusion_pipeline.sweeps.plan import Step

THOUSAND = runpy.run_path(str(REPO / "benchmarks/ray_thousand.py"))


@pytest.fixture
def engine(ray, tmp_path, monkeypatch):
    """A function that makes an engine whose tasks run the given commands."""
    monkeypatch.setattr(ray_cluster, "connect", lambda asked_by: None)

    def make(*commands, **setup) -> RayEngine:
        chosen = Setup(tmp_path, tmp_path / "logs", **setup)
        return RayEngine(chosen, lambda task: list(commands[int(task.arguments[0])]))

    return make


def tasks(folder, count):
    return THOUSAND["tasks_of"](folder, count)


def ended(engine, count, seconds=60):
    """Name to code of the next tasks that end."""
    found = {}
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        found |= {one.task: one.code for one in engine.wait(0.2)}
    return found


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)


SAY_PID = "echo pid $$; exec sleep 1000"
STUBBORN = "trap '' TERM; echo pid $$; while true; do sleep 0.1; done"


def pid_in(log) -> int | None:
    lines = log.read_text().splitlines() if log.exists() else []
    found = [line for line in lines if line.startswith("pid ")]
    return int(found[-1].split()[1]) if found else None


def test_a_task_tells_its_code_writes_its_log_and_has_its_threads(engine, tmp_path):
    made = engine(["sh", "-c", "echo $OMP_NUM_THREADS in $PWD"], ["sh", "-c", "exit 3"])
    for task in tasks(tmp_path, 2):
        made.start(task)
    assert ended(made, 2) == {"sleep/0": 0, "sleep/1": 3}
    assert f"1 in {tmp_path}" in (tmp_path / "logs/sleep/0.log").read_text()


def test_a_lost_worker_is_reported_and_what_it_started_with_kedro_ends(engine, tmp_path):
    child = "import os, time, pu_diffusion_pipeline.training.worker as worker\n"
    child += "worker.end_with_parent(); print('pid', os.getpid(), flush=True); time.sleep(1000)"
    made = engine([sys.executable, "-c", child])
    (task,) = tasks(tmp_path, 1)
    made.start(task)
    log = tmp_path / "logs/sleep/0.log"
    wait_for(lambda: pid_in(log))
    os.kill(psutil.Process(pid_in(log)).ppid(), signal.SIGKILL)
    found = []
    wait_for(lambda: found or found.extend(made.wait(0.2)))
    assert found == [("sleep/0", 1, "its worker or its node is gone", True)]
    wait_for(lambda: not lives(pid_in(log)), 10)


@pytest.mark.parametrize(("script", "kills"), [(SAY_PID, False), (STUBBORN, True)])
def test_stopped_tasks_end_also_those_that_are_not_begun(engine, tmp_path, script, kills):
    made = engine(*[["sh", "-c", script]] * 4, workers=4)
    for task in tasks(tmp_path, 4):
        made.start(task)
    logs = [tmp_path / f"logs/sleep/{number}.log" for number in range(4)]
    wait_for(lambda: any(map(pid_in, logs)))
    made.stop(kill=False)
    found = ended(made, 4, 3 if kills else 60)
    if kills:
        assert len(found) < 4
        made.stop(kill=True)
        found |= ended(made, 4 - len(found))
    assert len(found) == 4
    assert 0 not in found.values()
    wait_for(lambda: not any(lives(pid) for log in logs if (pid := pid_in(log))), 10)


def test_one_task_is_stopped_and_the_other_goes_on(engine, tmp_path):
    made = engine(["sh", "-c", SAY_PID], ["sh", "-c", "sleep 3"], workers=2, cpus_per_run=1)
    first, second = tasks(tmp_path, 2)
    made.start(first)
    wait_for(lambda: pid_in(tmp_path / "logs/sleep/0.log"))
    made.start(second)
    made.stop([first.name], kill=False)
    assert ended(made, 2) == {first.name: -signal.SIGTERM, second.name: 0}


def test_many_tasks_end_well_though_workers_are_killed(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster.RayEngine, "close", lambda self: None)
    said = THOUSAND["run"](tmp_path, 60, 1, 0.01, 60)
    assert sum("once more" in line for line in said) == 1
    assert sum(" done in " in line for line in said) == 60


def test_a_node_that_shares_the_folder_passes_and_no_probe_is_left(engine, tmp_path):
    (line,) = engine().prepare([], dry_run=False)
    assert "share data/" in line
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("patched", "message"),
    [
        ({"__version__": "9.9"}, "has version 0.1.0 of the package, this machine 9.9"),
        ({"_unread": lambda answer, host: f"what {host} writes"}, "writes"),
    ],
)
def test_a_node_that_cannot_work_is_named(engine, monkeypatch, patched, message):
    for name, value in patched.items():
        monkeypatch.setattr(ray_cluster, name, value)
    with pytest.raises(InvalidInput, match=message):
        engine().prepare([], dry_run=False)


def test_trainings_that_take_room_on_the_cluster_by_themselves_are_refused(engine, tmp_path):
    training = SimpleNamespace(engine="ray")
    run = SimpleNamespace(configured=SimpleNamespace(parameters=SimpleNamespace(training=training)))
    nested = replace(tasks(tmp_path, 1)[0], steps=(Step("node", run, frozenset(), ()),))
    with pytest.raises(InvalidInput, match=r"sleep/0 has training\.engine ray"):
        engine().prepare([nested], dry_run=True)


def test_a_node_without_the_folder_says_so(tmp_path):
    from pu_diffusion_pipeline.sweeps.engines.on_node import check_node

    probe = tmp_path / "data/.probe"
    said = check_node(str(tmp_path), str(probe), f"{probe}-1", "0.1.0")
    assert f"does not share {tmp_path}/data (No such file or directory)" in said
    probe.parent.mkdir()
    probe.write_text("another")
    assert "reads another" in check_node(str(tmp_path), str(probe), f"{probe}-1", "0.1.0")


def test_an_unreachable_cluster_is_named_at_once(monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(InvalidInput, match=r"RAY_ADDRESS: expected the HOST:PORT.*127.0.0.1:9"):
        ray_connection.connect("--engine ray")
    assert time.monotonic() - begun < 10


def test_without_ray_the_message_names_the_extra(monkeypatch):
    monkeypatch.setattr(ray_connection, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pu_diffusion_pipeline\[ray\]"):
        ray_connection.connect("--engine ray")


def test_ray_is_imported_by_its_engine_only():
    code = "import sys, pu_diffusion_pipeline.sweeps.command; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_tasks_fit_in_a_node_by_what_is_scarce():
    assert Needs(2, 0.5, 0).fit_in({"CPU": 8, "GPU": 1}) == 2
    assert Needs(2, 0.0, 0).fit_in({"CPU": 8}) == 4
    assert Needs(1, 0.0, 2**30).fit_in({"CPU": 8, "memory": 3 * 2**30}) == 3
    assert Needs(1, 1.0, 0).fit_in({"CPU": 8}) == 0


def test_ctrl_c_leaves_nothing_behind(engine, tmp_path):
    made = engine(*[["sh", "-c", SAY_PID]] * 2)
    log = tmp_path / "logs/sleep/0.log"

    def interrupt():
        wait_for(lambda: pid_in(log))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    execution = Execution(tasks(tmp_path, 2), made, {}, made._setup.log_of, lambda line: None)
    with pytest.raises(KeyboardInterrupt):
        execution.run()
    wait_for(lambda: not lives(pid_in(log)), 10)
