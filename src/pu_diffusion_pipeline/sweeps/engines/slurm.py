"""Tasks as batch jobs of Slurm: one script a task, written for inspection, submitted with `sbatch`.

A job is submitted when the tasks it needs are done, so no job waits for another in the queue.
Slurm repeats no job here (`--no-requeue`): `execution.py` does, once, as for every engine.
"""

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.sweeps.engines.interface import THREADS, Ended, Setup
from pu_diffusion_pipeline.sweeps.plan import Task

PROGRAMS = ("sbatch", "squeue", "scancel")
AT_ONCE = 100  # jobs in the queue, where --workers does not say
POLL = 10.0  # seconds between two looks at the queue
OPTION = re.compile(r"[a-z][a-z-]*")
OWN = ("job-name", "output", "chdir", "cpus-per-task", "gpus", "mem", "no-requeue", "open-mode")
WORKS = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING")
GONE = ("BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT")  # through no fault of the task


class SlurmEngine:
    """An `Engine` of batch jobs; `--cpus-per-run` and others become options of `sbatch`."""

    def __init__(self, setup: Setup, poll: float = POLL) -> None:
        _check(setup)
        self._setup = setup
        self._poll = poll
        self._next = 0.0  # when the queue is asked again
        self._scripts = setup.logs.parent / "slurm"
        self._jobs: dict[str, str] = {}  # id to the task's name
        self.capacity = setup.workers or AT_ONCE

    def prepare(self, tasks: Sequence[Task], *, dry_run: bool) -> list[str]:
        """See `Engine`."""
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing and not dry_run:
            raise InvalidInput(
                f"--engine slurm: no {missing[0]} on this machine; --dry-run writes the scripts"
            )
        for task in tasks:
            self._write_script(task)
        return [f"Scripts: {self._scripts}"]

    def _write_script(self, task: Task) -> Path:
        path = self._scripts / f"{task.name}.sh"
        with atomic_write(path) as temporary:
            temporary.write_text(script(task, self._setup), encoding="utf-8")
        return path

    def start(self, task: Task) -> None:
        """See `Engine`."""
        self._setup.begin_log(task)
        told = _run("sbatch", "--parsable", str(self._write_script(task)))
        self._jobs[told.strip().split(";")[0]] = task.name

    def wait(self, seconds: float) -> list[Ended]:
        """See `Engine`. The queue is asked every `poll` seconds; Slurm's server is shared."""
        left = self._next - time.monotonic()
        if left > 0:
            time.sleep(min(left, seconds))
            return []
        self._next = time.monotonic() + self._poll
        states = self._states()
        return [self._end(job, state) for job, state in states.items() if state not in WORKS]

    def _end(self, job: str, state: str) -> Ended:
        code = int(state != "COMPLETED")
        return Ended(self._jobs.pop(job), code, f"Slurm says {state}", is_lost=state in GONE)

    def _states(self) -> dict[str, str]:
        """Each job's state, as Slurm names it; nothing where the queue does not answer."""
        asked = ("--states=all", "--noheader", "--format=%i %T", f"--jobs={','.join(self._jobs)}")
        queue = subprocess.run(["squeue", *asked], capture_output=True, text=True, check=False)
        if queue.returncode and "Invalid job id" not in queue.stderr:
            return {}  # it may answer the next time
        lines = [line.split() for line in queue.stdout.splitlines()]
        states = {line[0]: line[1] for line in lines if len(line) == 2}
        return {job: states.get(job) or _last_state(job) for job in self._jobs}

    def stop(self, tasks: Collection[str] | None = None, *, kill: bool) -> None:
        """See `Engine`: `scancel`, for jobs that wait too. They get SIGTERM first."""
        jobs = [job for job, name in self._jobs.items() if tasks is None or name in tasks]
        if jobs:
            _run("scancel", *(["--signal=KILL", "--full"] if kill else []), *jobs)
            self._next = 0.0

    def close(self) -> None:
        """See `Engine`. After an error of Slurm's programs the other jobs are cancelled too."""
        self.stop(kill=False)


def script(task: Task, setup: Setup) -> str:
    """The batch script of a task."""
    cpus = setup.cpus_per_run or 1
    log = setup.log_of(task.name).resolve()
    options = {
        "job-name": task.name,
        "output": str(log),
        "open-mode": "append",
        "chdir": str(setup.project.resolve()),
        "cpus-per-task": str(cpus),
        **({"gpus": f"{setup.gpus_per_run:g}"} if setup.gpus_per_run else {}),
        **({"mem": f"{setup.memory_per_run * 1024:.0f}M"} if setup.memory_per_run else {}),
        **setup.engine_option,
    }
    lines = [f"#SBATCH --{name}={shlex.quote(value)}" for name, value in options.items()]
    threads = [f"export {name}={cpus}" for name in THREADS]
    command = shlex.join([sys.executable, "-m", "kedro", *task.arguments])
    # exec: the signals of scancel reach the run itself
    return "\n".join(
        ["#!/bin/bash", *lines, "#SBATCH --no-requeue", *threads, f"exec {command}", ""]
    )


def _check(setup: Setup) -> None:
    setup.refuse_impossible()
    gpus = setup.gpus_per_run
    if gpus is not None and (gpus < 0 or gpus != int(gpus)):
        raise InvalidInput(f"--gpus-per-run: Slurm gives whole GPUs, got {gpus:g}")
    for name, value in setup.engine_option.items():
        if not OPTION.fullmatch(name) or "\n" in value:
            raise InvalidInput(f"--engine-option: expected such as partition=gpu, got {name!r}")
        if name in OWN:
            raise InvalidInput(f"--engine-option: {name} is set by the sweep; leave it out")


def _last_state(job: str) -> str:
    """Of a job that has left the queue; FAILED if nobody knows."""
    if shutil.which("sacct") is None:
        return "FAILED"
    told = _run("sacct", "-X", "-n", "-P", "-o", "State", "-j", job, check=False).split()
    return told[0] if told else "FAILED"


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise ProcessFailed(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout
