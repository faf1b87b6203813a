"""Tasks of short scripts: a `kedro` that does what its arguments say."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from unittest.mock import patch

from pu_diffusion_pipeline.sweeps import command
from pu_diffusion_pipeline.sweeps.arguments import Request
from pu_diffusion_pipeline.sweeps.command import How, Talk
from pu_diffusion_pipeline.sweeps.engines import local
from pu_diffusion_pipeline.sweeps.plan import Plan, Task
from pu_diffusion_pipeline.sweeps.runs import Run, Saved

# `python -m kedro` finds it in the folder where it is started.
KEDRO = """
import json, os, pathlib, signal, subprocess, sys, time

def once(name):
    marker = pathlib.Path(name)
    is_first = not marker.exists()
    marker.touch()
    return is_first

what, output, *rest = sys.argv[1:]
with open("begun", "a") as file:
    file.write(f"{output} {os.getpid()}\\n")
if what == "fail":
    print("working")
    print("Error: training diverged")
    sys.exit(1)
if what == "fail_once" and once(f"{output}.marker"):
    sys.exit("Error: no luck")
if what == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "die_once" and once(f"{output}.marker"):
    os.kill(os.getpid(), signal.SIGKILL)
if what == "end_parent_once" and once(f"{output}.marker"):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
if what == "told_to_end_once" and once(f"{output}.marker"):
    sys.exit(128 + signal.SIGTERM)
if what == "sleep":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with open("begun", "a") as file:
        file.write(f"child {child.pid}\\n")
    time.sleep(60)
if what == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path("ready").touch()
    time.sleep(60)
if what == "pause":
    time.sleep(0.5)
names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
told = {name: os.environ.get(name) for name in names}
told["cores"] = sorted(os.sched_getaffinity(0))
pathlib.Path(output).write_text(json.dumps(told))
claim = {"stage": "metrics", "method": None, "made_with": {}, "digests": {output: ""}}
pathlib.Path(f"{output}.claim").write_text(json.dumps(claim))
"""


def make_project(folder: Path, monkeypatch, modules: tuple[str, ...] = ("json",)) -> Path:
    """A folder in which `python -m kedro` is the script above.

    Args:
        folder: to make.
        monkeypatch: of the test.
        modules: that its tasks share, as forks; none: each is started anew.
    """
    monkeypatch.setattr(local, "modules_to_share", lambda environment: list(modules))
    folder.mkdir(exist_ok=True)
    (folder / "kedro.py").write_text(KEDRO)
    return folder


def task(project: Path, name: str, what: str = "write", needs: tuple[str, ...] = ()) -> Task:
    """A task that writes the file of its name, unless `what` says otherwise."""
    makes = Saved(project / name, project / f"{name}.claim")
    return Task(name, (what, name), frozenset(needs), (makes,), ())


def finish(saved: Saved, run: Run | None = None) -> None:
    """As if it had been saved, as the metrics of this run or as something else."""
    saved.path.parent.mkdir(parents=True, exist_ok=True)
    saved.path.touch()
    recorded = {"stage": "", "method": None, "made_with": {}, "digests": {}}
    if saved.claim.exists():
        recorded = json.loads(saved.claim.read_text())
    if run and saved == run.metrics:
        recorded |= {"method": run.claim.method, "made_with": run.claim.made_with}
    recorded["digests"][saved.path.name] = ""
    saved.claim.write_text(json.dumps(recorded))


def begun(project: Path) -> list[str]:
    """The tasks that were begun, in their order."""
    path = project / "begun"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[0] for line in lines if not line.startswith("child")]


def processes(project: Path) -> list[int]:
    """All that was ever started."""
    path = project / "begun"
    return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # whoever adopts it will bury it


def run_sweep(project: Path, tasks: list[Task], **how) -> list[str]:
    """`command.sweep` with these tasks; what it said goes to `said` too."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        with (project / "said").open("a") as file:
            file.write(f"{text}\n")

    with (
        patch.object(command, "make_plan", lambda request, project: Plan([], tasks)),
        patch.object(command, "estimate_seconds", lambda tasks: {}),
    ):
        command.sweep(Request(), project, How(**how), Talk(say, lambda text: None))
    return said


class InBackground:
    """`run_sweep` in a process of its own."""

    def __init__(self, project: Path, tasks: list[Task], **how) -> None:
        self._project = project
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_main, args=(project, tasks, how))
        self._process.start()

    def wait_until(self, is_so) -> None:
        until = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < until, "it never came to that"
            assert self._process.is_alive(), self.said
            time.sleep(0.02)

    def press_ctrl_c(self) -> None:
        os.kill(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        self._process.join(60)
        assert self._process.exitcode is not None
        return self._process.exitcode

    @property
    def said(self) -> str:
        path = self._project / "said"
        return path.read_text() if path.exists() else ""


def _main(project: Path, tasks: list[Task], how: dict) -> None:
    try:
        run_sweep(project, tasks, **how)
    except KeyboardInterrupt:
        os._exit(130)
    except Exception as error:
        (project / "error").write_text(str(error))
        os._exit(1)
    os._exit(0)


def told(project: Path, name: str) -> dict:
    """The environment that a task saw."""
    return json.loads((project / name).read_text())
