"""The process that begins the tasks of the local engine; `launcher.py` talks to it.

usage: python -m <module> [MODULE ...]

Half of what a short run takes is Python reading torch, diffusers, scikit-learn and the pipelines.
With MODULE this process imports that once and forks: each task begins with all of it in memory.
Without, it starts Python anew for each. Itself it needs the standard library only.

Requests are lines of JSON on its standard input: `Start` or `Signal`. On its standard output it
answers with `READY` when it has imported all, and with a line for each task that has ended: name
and exit code. When its standard input ends, the tasks are killed.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.sweeps.engines import child

POLL = 0.02  # seconds between two looks at whether a task has ended
AT_ONCE = 2**16  # bytes
READY = ("", 0)  # the first answer


class Start(NamedTuple):
    """A task to begin.

    Attributes:
        task: its name.
        arguments: of `kedro`.
        log: the file at whose end its output goes.
        cores: that it runs on; none: all.
        environment: what it adds to ours.
    """

    task: str
    arguments: Sequence[str]
    log: str
    cores: Sequence[int]
    environment: Mapping[str, str]


class Signal(NamedTuple):
    """A signal for a task and for all that it has started.

    Attributes:
        task: its name.
        number: of the signal.
    """

    task: str
    number: int


def main(modules: Sequence[str]) -> None:
    """Serve standard input and output; a task returns from here when it has ended."""
    requests, answers = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what a library prints is no answer
    for module in modules:
        import_module(module)
    os.write(answers, json.dumps(READY).encode() + b"\n")
    task = _serve(requests, answers)
    if task is not None:
        os.close(requests)
        os.close(answers)
        _become(task, is_loaded=bool(modules))


def _serve(requests: int, answers: int) -> Start | None:
    """In the process of a task, that task; in this process, at the end, None."""
    tasks: dict[int, str] = {}  # by process, each the leader of its group
    rest = b""
    while True:
        if select.select([requests], [], [], POLL if tasks else None)[0]:
            received = os.read(requests, AT_ONCE)
            if not received:
                for pid in tasks:
                    _signal_group(pid, signal.SIGKILL)
                return None
            *lines, rest = (rest + received).split(b"\n")
            for request in map(_parse, lines):
                if isinstance(request, Start) and _is_forked(request.task, tasks):
                    return request
                if isinstance(request, Signal):
                    for pid in [pid for pid, name in tasks.items() if name == request.task]:
                        _signal_group(pid, request.number)
        for ended in _reap(tasks):
            os.write(answers, json.dumps(ended).encode() + b"\n")


def _is_forked(task: str, tasks: dict[int, str]) -> bool:
    """Fork for a task; whether this is the new process."""
    pid = os.fork()
    with suppress(PermissionError, ProcessLookupError):  # it is a new program, or has ended
        os.setpgid(pid, pid)  # in both: whoever comes first
    if pid:
        tasks[pid] = task
    return pid == 0


def _parse(line: bytes) -> Start | Signal:
    values = json.loads(line)
    return Start(**values) if "arguments" in values else Signal(**values)


def _reap(tasks: dict[int, str]) -> list[tuple[str, int]]:
    """Those that have ended, with their exit codes; what they have started and left ends too."""
    ended = []
    for pid in list(tasks):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _signal_group(pid, signal.SIGKILL)
            ended.append((tasks.pop(pid), os.waitstatus_to_exitcode(status)))
    return ended


def _signal_group(leader: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


def _become(task: Start, *, is_loaded: bool) -> None:
    """Run a task in this process: with what it has imported, or as a new program."""
    if task.cores:
        os.sched_setaffinity(0, task.cores)
    os.environ.update(task.environment)
    with Path(task.log).open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if not is_loaded:
        os.execv(sys.executable, [sys.executable, *child.COMMAND, *task.arguments])
    sys.argv = ["kedro", *task.arguments]
    child.main()


if __name__ == "__main__":
    main(sys.argv[1:])
