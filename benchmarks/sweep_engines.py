"""27 runs of the embedded digits on two engines, disturbed on the way: the same metrics?

python benchmarks/sweep_engines.py FOLDER

The sweep is 3 methods x 3 seeds x 3 values of beta with short trainings. On each engine, `local`
and a Ray of this machine, it is started in a project of its own below FOLDER; a worker that trains
is killed; later the sweep gets Ctrl-C twice; the same command is then run to its end. Prints, for
each engine, the time of each command, how many finished models were written again, and whether all
metrics are equal bit for bit. Exits with 1 if they are not. A quarter of an hour on two cores.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from project_copy import copy_project, environment_of

ENGINES = ("local", "ray")
PARAMS = ",".join(
    [
        *("data.image_size:16", "training.num_steps:10", "sampling.num_images:32"),
        *("sampling.num_steps:10", "evaluation.kid_subset_size:16"),
    ]
)
SWEEP = [
    *("sweep", "--methods=pu,pu_weighted,pu_filtered", "--seeds=0-2", "--betas=0.05,0.1,0.15"),
    *(f"--params={PARAMS}", "--workers=2", "--yes"),
]
RUNS = 27
KILLED_AFTER, STOPPED_AFTER = 4, 12  # finished runs
TRAINS = ("train_denoiser", "pu_weighted")  # in names of tasks
PASSING = ("seconds", "git_revision")  # of a record: how long it took, which checkout made it


class Project:
    """A copy of this project, and the sweep in it."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder, self.engine = copy_project(folder), engine

    def start(self) -> subprocess.Popen[bytes]:
        """The sweep, in the background; what it prints is added to FOLDER/ENGINE/log."""
        env = environment_of(self.folder, OMP_NUM_THREADS="1")
        command = [sys.executable, "-m", "kedro", *SWEEP, f"--engine={self.engine}"]
        log = (self.folder / "log").open("a")
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log)

    def metrics(self) -> dict[str, object]:
        """Of each finished run, without what differs from one time to the next."""
        found = sorted((self.folder / "data").rglob("metrics.json"))
        return {
            str(path.relative_to(self.folder)): _lasting(json.loads(path.read_text()))
            for path in found
        }

    def models(self) -> dict[Path, int]:
        """The weights of each finished model, and when they were written (nanoseconds)."""
        found = (self.folder / "data").rglob("unet/*.safetensors")
        return {path: path.stat().st_mtime_ns for path in found}

    def training_worker(self) -> psutil.Process | None:
        """A process whose end ends a training: of Ray the worker that waits for it."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                log = Path(f"/proc/{process.pid}/fd/1").readlink()  # named after its task
                is_ours = log.is_relative_to(self.folder) and os.getpgid(process.pid) == process.pid
                if is_ours and any(words in log.name for words in TRAINS):
                    return process.parent() if self.engine == "ray" else process
        return None


def _lasting(record: object) -> object:
    if isinstance(record, list):
        return [_lasting(value) for value in record]
    if not isinstance(record, dict):
        return record
    return {name: _lasting(value) for name, value in record.items() if name not in PASSING}


def wait_until(is_true: Callable[[], object], sweep: subprocess.Popen[bytes]) -> object:
    """What `is_true` answers, once it does."""
    while not (answer := is_true()):
        if sweep.poll() is not None:
            raise SystemExit(f"the sweep ended early with code {sweep.returncode}; see its log")
        time.sleep(0.05)
    return answer


def disturbed(project: Project) -> None:
    """Kill a worker that trains, later stop the sweep by Ctrl-C twice."""
    begun = time.perf_counter()
    sweep = project.start()
    wait_until(lambda: len(project.metrics()) >= KILLED_AFTER, sweep)
    worker = wait_until(project.training_worker, sweep)
    assert isinstance(worker, psutil.Process)
    worker.send_signal(signal.SIGKILL)
    wait_until(lambda: len(project.metrics()) >= STOPPED_AFTER, sweep)
    sweep.send_signal(signal.SIGINT)
    time.sleep(0.5)
    if sweep.poll() is None:
        sweep.send_signal(signal.SIGINT)
    code = sweep.wait()
    repeated = (project.folder / "log").read_text().count("once more")
    print(
        f"{project.engine}: stopped after {time.perf_counter() - begun:.0f} s with code {code}, "
        f"{len(project.metrics())} of {RUNS} runs finished, {repeated} task begun once more",
        flush=True,
    )


def finished(project: Project) -> None:
    """Run the same command to its end."""
    before = project.models()
    begun = time.perf_counter()
    code = project.start().wait()
    if code:
        raise SystemExit(f"{project.engine}: the sweep ended with code {code}; see its log")
    after = project.models()
    again = sum(after[path] != written for path, written in before.items())
    print(
        f"{project.engine}: the rest took {time.perf_counter() - begun:.0f} s; "
        f"{len(project.metrics())} of {RUNS} runs finished; of {len(before)} models that were "
        f"finished {again} were written again",
        flush=True,
    )


def main() -> None:
    """Run both, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    projects = [Project(folder / engine, engine) for engine in ENGINES]
    for project in projects:
        disturbed(project)
        finished(project)
    here, there = (project.metrics() for project in projects)
    print(f"metrics of {len(here)} and {len(there)} runs, equal bit for bit: {here == there}")
    sys.exit(len(here) != RUNS or here != there)


if __name__ == "__main__":
    main()
