"""The engine `slurm` with programs that stand in for Slurm's and really run the scripts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.sweeps.engines.interface import Setup
from pu_diffusion_pipeline.sweeps.engines.slurm import SlurmEngine, script
from pu_diffusion_pipeline.sweeps.execution import Execution
from pu_diffusion_pipeline.sweeps.plan import Task
from pu_diffusion_pipeline.sweeps.runs import Saved

# A job is a process group whose number is its id; its state is in a file.
SBATCH = r"""#!/bin/bash
script="${@: -1}"
option() { sed -n "s/^#SBATCH --$1=//p" "$script" | tr -d "'"; }
cd "$(option chdir)"
setsid bash -c '
    echo RUNNING > "$JOBS/$$"
    touch "$JOBS/.begun-$$"
    bash "$0" >> "$1" 2>&1
    code=$?
    if [ $code = 0 ]; then echo COMPLETED; elif [ $code -ge 128 ]; then echo CANCELLED
    else echo FAILED; fi > "$JOBS/$$.new"
    [ ! -e "$JOBS/$$" ] || mv "$JOBS/$$.new" "$JOBS/$$"
' "$script" "$(option output)" > /dev/null 2>&1 &
pid=$!
while [ ! -e "$JOBS/.begun-$pid" ]; do sleep 0.01; done
echo "$pid;cluster"
"""
SQUEUE = r"""#!/bin/bash
ids="${@: -1}"; ids="${ids#--jobs=}"
for id in ${ids//,/ }; do [ -e "$JOBS/$id" ] && echo "$id $(cat "$JOBS/$id")"; done
true
"""
SCANCEL = r"""#!/bin/bash
signal=TERM
for word in "$@"; do
    case $word in --signal=*) signal=${word#--signal=};; --*) ;; *) pkill -$signal -P $word;; esac
done
"""
SACCT = "#!/bin/bash\necho ${STATE:-NODE_FAIL}\n"


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Slurm's programs in front of PATH."""
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    for folder in (programs, jobs):
        folder.mkdir()
    stand_ins = {"sbatch": SBATCH, "squeue": SQUEUE, "scancel": SCANCEL, "sacct": SACCT}
    for name, text in stand_ins.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(jobs))
    return jobs


@pytest.fixture
def run_script(monkeypatch, tmp_path):
    """A stand-in for `python -m kedro`: it runs a line of shell."""
    program = tmp_path / "shell"
    program.write_text('#!/bin/bash\nshift 2\nexec bash -c "$1"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def task(name: str, line: str, *needs: str) -> Task:
    nothing = Saved(Path("nothing"), Path("no.claim"))
    return Task(name, (line,), frozenset(needs), (nothing,), ())


def execute(tmp_path, tasks, **setup):
    said = []
    chosen = Setup(tmp_path, tmp_path / "sweep/logs", **setup)
    engine = SlurmEngine(chosen, poll=0.05)
    engine.prepare(tasks, dry_run=False)
    return Execution(tasks, engine, {}, chosen.log_of, said.append), said


def test_the_script_is_bash_and_asks_for_what_was_given(tmp_path):
    options = {"partition": "gpu", "time": "04:00:00"}
    setup = Setup(tmp_path, tmp_path / "logs", gpus_per_run=1.0, cpus_per_run=4,
                  memory_per_run=7.5, engine_option=options)  # fmt: skip
    text = script(task("b/pu-seed_0", "it's"), setup)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    asked = [line.removeprefix("#SBATCH --") for line in text.splitlines() if "#SBATCH" in line]
    assert asked == [
        "job-name=b/pu-seed_0", f"output={tmp_path}/logs/b/pu-seed_0.log", "open-mode=append",
        f"chdir={tmp_path}", "cpus-per-task=4", "gpus=1", "mem=7680M", "partition=gpu",
        "time=04:00:00", "no-requeue",
    ]  # fmt: skip
    assert "export OMP_NUM_THREADS=4" in text
    assert text.splitlines()[-1].startswith("exec ")


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ({"gpus_per_run": 0.5}, "--gpus-per-run: Slurm gives whole GPUs, got 0.5"),
        ({"workers": 0}, "--workers"),
        ({"memory_per_run": -2.0}, "--memory-per-run: expected a number from 0 on, got -2"),
        ({"engine_option": {"Par tition": "x"}}, "--engine-option: expected such as"),
        ({"engine_option": {"time": "1\n#SBATCH"}}, "--engine-option: expected such as"),
        ({"engine_option": {"output": "x"}}, "--engine-option: output is set by the sweep"),
    ],
)
def test_wrong_options_are_refused(tmp_path, setup, message):
    with pytest.raises(InvalidInput, match=message):
        SlurmEngine(Setup(tmp_path, tmp_path / "logs", **setup))


def test_without_slurm_only_a_dry_run_works(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    engine = SlurmEngine(Setup(tmp_path, tmp_path / "sweep/logs"))
    with pytest.raises(InvalidInput, match="no sbatch on this machine"):
        engine.prepare([task("a", "true")], dry_run=False)
    (line,) = engine.prepare([task("a", "true")], dry_run=True)
    assert line == f"Scripts: {tmp_path}/sweep/slurm"
    assert (tmp_path / "sweep/slurm/a.sh").exists()


@pytest.mark.usefixtures("fake_slurm", "run_script")
def test_tasks_run_in_their_order_and_write_their_logs(tmp_path):
    tasks = [
        task("shared", "sleep 0.3; echo made > made; echo $OMP_NUM_THREADS threads"),
        *(task(f"run-{number}", "cat made", "shared") for number in range(3)),
    ]
    execution, said = execute(tmp_path, tasks, cpus_per_run=2)
    execution.run()
    assert "2 threads" in (tmp_path / "sweep/logs/shared.log").read_text()
    for number in range(3):
        command, said_by_run = (tmp_path / f"sweep/logs/run-{number}.log").read_text().splitlines()
        assert command.startswith("$ kedro ")
        assert said_by_run == "made"
    assert said[0] == "started: shared"


@pytest.mark.usefixtures("fake_slurm", "run_script")
def test_a_failed_job_stops_what_needs_it(tmp_path):
    tasks = [task("bad", "echo Error: why; exit 3"), task("after", "true", "bad")]
    execution, said = execute(tmp_path, tasks)
    with pytest.raises(ProcessFailed, match="1 of 2 tasks failed and 1 were not begun"):
        execution.run()
    assert any("Error: why" in line for line in said)


def test_a_job_whose_node_is_lost_is_submitted_once_more(tmp_path, fake_slurm, run_script):
    """It removes its own state, so that only the accounting knows how it ended."""
    line = "test -e again || { touch again; rm $JOBS/*; sleep 5; }"
    execution, said = execute(tmp_path, [task("lost", line)])
    execution.run()
    assert [line for line in said if "once more" in line and "Slurm says NODE_FAIL" in line]


@pytest.mark.usefixtures("fake_slurm", "run_script")
def test_stopping_cancels_the_jobs(tmp_path):
    execution, _ = execute(tmp_path, [task("long", "echo pid $$; exec sleep 1000")])
    engine = execution._engine
    engine.start(execution._tasks["long"])
    log = tmp_path / "sweep/logs/long.log"
    until = time.monotonic() + 20
    while len(log.read_text().splitlines()) < 2 and time.monotonic() < until:  # after the command
        time.sleep(0.02)
    engine.stop(kill=False)
    ended = []
    while not ended and time.monotonic() < until:
        ended = engine.wait(0.1)
    assert [(one.task, one.code) for one in ended] == [("long", 1)]
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().split()[-1]), 0)


@pytest.mark.usefixtures("fake_slurm", "run_script")
def test_one_job_is_cancelled_and_the_other_goes_on(tmp_path):
    engine = SlurmEngine(Setup(tmp_path, tmp_path / "sweep/logs"), poll=0.05)
    for name, line in (("long", "echo begun; exec sleep 1000"), ("short", "sleep 1")):
        engine.start(task(name, line))
    log = tmp_path / "sweep/logs/long.log"
    until = time.monotonic() + 20
    while len(log.read_text().splitlines()) < 2 and time.monotonic() < until:  # after the command
        time.sleep(0.02)
    engine.stop(["long"], kill=False)
    ended = []
    while len(ended) < 2 and time.monotonic() < until:
        ended += engine.wait(0.1)
    assert sorted((one.task, one.code) for one in ended) == [("long", 1), ("short", 0)]


@pytest.mark.parametrize(
    ("state", "code", "is_lost"),
    [("COMPLETED", 0, False), ("TIMEOUT", 1, True), ("OUT_OF_MEMORY", 1, False)],
)
def test_a_job_is_lost_by_its_state(tmp_path, state, code, is_lost):
    engine = SlurmEngine(Setup(tmp_path, tmp_path / "logs"))
    engine._jobs["1"] = "task"
    assert engine._end("1", state) == ("task", code, f"Slurm says {state}", is_lost)


@pytest.mark.usefixtures("fake_slurm", "run_script")
@pytest.mark.parametrize(
    ("state", "how"),
    [
        ("OUT_OF_MEMORY", "Slurm says OUT_OF_MEMORY"),
        ("TIMEOUT", "Slurm says TIMEOUT"),
        ("CANCELLED by 1000", "Slurm says CANCELLED"),
    ],
)
def test_a_failed_job_is_told_by_the_state_that_the_accounting_knows(
    tmp_path, monkeypatch, state, how
):
    """It removes its own state and is killed, as Slurm does it."""
    monkeypatch.setenv("STATE", state)
    execution, said = execute(tmp_path, [task("run", "rm $JOBS/*; kill -9 $$")])
    with pytest.raises(ProcessFailed):
        execution.run()
    assert any(line.startswith(f"\nfailed: run ({how}): ") for line in said)


def test_a_queue_that_does_not_answer_once_ends_no_job(fake_slurm, run_script, tmp_path):
    squeue = tmp_path / "bin/squeue"
    fails_once = """[ -e "$JOBS/.asked" ] || { touch "$JOBS/.asked"; echo timeout >&2; exit 1; }
"""
    squeue.write_text(SQUEUE.replace("ids=", f"{fails_once}ids=", 1))
    (tmp_path / "bin/sacct").unlink()
    execution, said = execute(tmp_path, [task("slow", "sleep 0.5")])
    execution.run()
    assert (fake_slurm / ".asked").exists()
    assert "done" in said[-1]
