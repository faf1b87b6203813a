"""What runs on the nodes of a Ray cluster.

Ray ships these functions as they are (`ray.cloudpickle.register_pickle_by_value`), so this module
imports the standard library only, and a node without the project can say so.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 0.5  # seconds between two looks at whether the task was told to end
VERSION = "import pu_diffusion_pipeline; print(pu_diffusion_pipeline.__version__)"


def run_process(
    command: Sequence[str], project: str, log: str, environment: Mapping[str, str], stop: str
) -> int:
    """Run a command until it ends, or a file names the signal that ends it.

    A file, because a task that Ray is asked to cancel is not always told so.

    Args:
        command: the program and its arguments; `python` stands for this node's.
        project: the folder in which it runs.
        log: the file at whose end its output goes.
        environment: what it adds to ours.
        stop: the file, which is not there while all is well; in it SIGTERM or SIGKILL.

    Returns:
        Its exit code; negative: the signal that killed it.

    Raises:
        OSError: the folder or the log cannot be reached from this node.
    """
    if told := _told(stop):
        return -told
    program = sys.executable if command[0] == "python" else command[0]
    with Path(log).open("ab") as output:
        output.write(f"$ {' '.join(command)}  # on {socket.gethostname()}\n".encode())
        output.flush()
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=project,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _wait(process, stop)
    finally:
        _signal_group(process, signal.SIGKILL)  # what it has started and left
        process.wait()  # also after `ray.cancel`: it is gone, and no zombie


def _wait(process: subprocess.Popen[bytes], stop: str) -> int:
    sent = 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(PATIENCE)
        told = _told(stop)
        if told != sent:
            sent = told
            _signal_group(process, told)


def _told(stop: str) -> int:
    """The signal to end with; 0: none."""
    with suppress(FileNotFoundError):
        return signal.Signals[Path(stop).read_text(encoding="utf-8")]
    return 0


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def check_node(project: str, probe: str, answer: str, version: str) -> str:
    """What keeps this node from working for the sweep; empty: nothing.

    Args:
        project: the project's folder.
        probe: a file that holds its own name, if it is the one that the driver wrote.
        answer: the file to write for the driver.
        version: of the package that the driver has.
    """
    host = socket.gethostname()
    try:
        if Path(probe).read_text(encoding="utf-8") != probe:
            return f"{host} reads another {probe} than this machine"
        Path(answer).write_text(answer, encoding="utf-8")
    except OSError as error:
        return f"{host} does not share {Path(probe).parent} ({error.strerror})"
    asked = [sys.executable, "-c", VERSION]
    told = subprocess.run(asked, cwd=project, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        return f"{host} cannot import pu_diffusion_pipeline with {sys.executable}"
    if told.stdout.strip() != version:
        return f"{host} has version {told.stdout.strip()} of the package, this machine {version}"
    return ""
