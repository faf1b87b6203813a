"""Runs of the tiny benchmark in processes of their own, with a fault planted in one file operation.

A file operation is what Python's audit events tell of: a file opened, a path renamed, made or
removed, under the project's `data/`. What compiled libraries write is not seen here; a small file
system shows what they do when it is full (`small_disk`).

The processes are forked from a server that has imported everything, so that a run takes seconds.
"""

import errno
import itertools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, NamedTuple
from unittest.mock import patch

REPO = Path(__file__).resolve().parents[2]
SERVER = multiprocessing.get_context("forkserver")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
PATH_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime")
MOST_SECONDS = 300  # of one run


class Fault(NamedTuple):
    """What happens at one file operation.

    Attributes:
        kind: the process is killed before it, or the operation fails.
        at: which operation, from 0; of those that write, for a failure.
        code: of the error, for a failure.
    """

    kind: Literal["kill", "fail"]
    at: int
    code: int = errno.ENOSPC


class Ended(NamedTuple):
    """How a run ended.

    Attributes:
        code: exit code; negative: the signal.
        output: what it printed.
        operations: file operations that it made; those that write.
    """

    code: int
    output: str
    operations: int
    writes: int


def make_project(folder: Path) -> Path:
    """A project with the configuration of this repository and no data."""
    (folder / "src").mkdir(parents=True)
    shutil.copytree(REPO / "conf", folder / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(REPO / name, folder)
    return folder


def run(project: Path, *arguments: str, fault: Fault | None = None) -> Ended:
    """`kedro run --env=test` with more arguments, to its end."""
    return start(project, *arguments, fault=fault).end()


@cache
def _start_server() -> None:
    SERVER.set_forkserver_preload(["faults.preloaded"])
    path = os.pathsep.join([str(REPO / "src"), str(REPO / "tests")])
    with patch.dict(os.environ, PYTHONPATH=path):  # Python 3.11 hands on no sys.path
        forkserver.ensure_running()


class Started(NamedTuple):
    """A run that goes on."""

    process: multiprocessing.process.BaseProcess
    log: Path
    counts: Path

    def end(self) -> Ended:
        """Wait for it."""
        self.process.join(MOST_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(self.log.read_text())
        code = self.process.exitcode
        assert code is not None
        text = self.counts.read_text() if self.counts.exists() else ""
        operations, writes = map(int, text.split() or (0, 0))
        return Ended(code, self.log.read_text(errors="replace"), operations, writes)


def start(project: Path, *arguments: str, fault: Fault | None = None) -> Started:
    """Begin such a run."""
    logs = project / "logs"
    logs.mkdir(exist_ok=True)
    number = len(list(logs.glob("*.log")))
    log = logs / f"{number}.log"
    log.touch()
    counts = logs / f"{number}.counts"
    command = ["run", "--env=test", *arguments]
    _start_server()
    process = SERVER.Process(target=_main, args=(str(project), command, fault, str(log)))
    process.start()
    return Started(process, log, counts)


def _main(project: str, command: Sequence[str], fault: Fault | None, log: str) -> None:
    """In the forked process."""
    from kedro.framework.startup import bootstrap_project

    from pu_diffusion_pipeline.cli import cli
    from pu_diffusion_pipeline.training import observers

    assert "faults.preloaded" in sys.modules, "the server hides why it could not import it"
    clock = itertools.count(1.0)  # else two runs differ in what a training took
    vars(observers)["time"] = SimpleNamespace(perf_counter=lambda: next(clock))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(project)
    counter = _Counter(Path(project) / "data", fault)
    try:
        bootstrap_project(Path(project))
        sys.addaudithook(counter.see)
        cli(command, prog_name="kedro")
    finally:
        counter.stop()
        Path(log).with_suffix(".counts").write_text(f"{counter.operations} {counter.writes}")
        sys.stdout.flush()
        sys.stderr.flush()


class _Counter:
    """Counts file operations under a folder, and plants the fault in one."""

    def __init__(self, folder: Path, fault: Fault | None) -> None:
        self._folder = (str(folder), "data")
        self._fault = fault
        self._is_on = True
        self.operations = 0
        self.writes = 0

    def stop(self) -> None:
        """Count no more."""
        self._is_on = False

    def see(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook."""
        if not self._is_on or (event != "open" and event not in PATH_EVENTS):
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        if not os.fsdecode(path).startswith(self._folder):
            return
        flags = int(str(arguments[2] or 0)) if event == "open" else 0
        is_write = event != "open" or bool(flags & WRITING)
        self._meet("kill", self.operations)
        self.operations += 1
        if is_write:
            self.writes += 1
            self._meet("fail", self.writes - 1)

    def _meet(self, kind: str, place: int) -> None:
        if self._fault is None or (kind, place) != (self._fault.kind, self._fault.at):
            return
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(self._fault.code, os.strerror(self._fault.code), "planted fault")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of that size at a folder; yields what gives it another size, in kilobytes.

    Needs the right to mount.
    """
    folder.mkdir(exist_ok=True)
    _mount(folder, f"size={kilobytes}k")
    try:
        yield lambda larger: _mount(folder, f"remount,size={larger}k")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)


def may_mount() -> bool:
    """Whether this process may mount file systems."""
    return os.geteuid() == 0 and shutil.which("mount") is not None and _mounts()


def _mounts() -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
