"""A running kedro-viz, for screenshots and for tests in a browser."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FIRST_PORT = 20_000  # kedro-viz takes none above 49,151, and the next one if it is taken
SECONDS = 180


@contextmanager
def kedro_viz(project: Path, log: Path, *options: str) -> Iterator[str]:
    """Serve a project; the block is given the address.

    Args:
        project: the folder of a Kedro project.
        log: where kedro-viz may write what it says.
        options: of `kedro viz run`.
    """
    port = FIRST_PORT + os.getpid() % FIRST_PORT
    command = [sys.executable, "-m", "kedro", "viz", "run", "--no-browser", f"--port={port}"]
    with log.open("w") as said:
        server = subprocess.Popen(
            [*command, *options],
            cwd=project,
            stdout=said,
            stderr=said,
            env={**os.environ, "KEDRO_DISABLE_TELEMETRY": "1"},
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, log)
        yield address
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(server.pid, signal.SIGKILL)  # its server is a process of its own
        server.wait(10)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(2 * SECONDS):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/api/main"):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"kedro-viz does not answer: {log.read_text()[-2000:]}")
