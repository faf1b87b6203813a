"""The process that begins the tasks of the local engine, as the engine sees it."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pu_diffusion_pipeline.sweeps.engines import launching
from pu_diffusion_pipeline.sweeps.engines.launching import AT_ONCE, READY, Signal, Start


class Launcher:
    """Starts the process, asks and hears.

    Args:
        modules: to import before the first task.
        project: the folder in which it works.
        log: the file at whose end its own output goes, if it has any.
        environment: what it and all tasks add to ours.
    """

    def __init__(
        self, modules: Sequence[str], project: Path, log: Path, environment: Mapping[str, str]
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", launching.__name__, *modules],
                cwd=project,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        self._rest = b""
        self.is_ready = False  # whether it has imported what it shares

    def ask(self, request: Start | Signal) -> None:
        """Send a request; if the launcher has ended, `wait` says so."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request._asdict()).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        """The tasks that have ended and their exit codes; waits for one, but no longer than this.

        Raises:
            EOFError: the launcher has ended, and the tasks with it.
        """
        assert self._process.stdout is not None
        answers = self._process.stdout.fileno()
        if not select.select([answers], [], [], seconds)[0]:
            return []
        received = os.read(answers, AT_ONCE)
        if not received:
            raise EOFError
        *lines, self._rest = (self._rest + received).split(b"\n")
        told = [tuple(json.loads(line)) for line in lines]
        self.is_ready = self.is_ready or bool(told)
        return [one for one in told if one != READY]

    def kill(self) -> None:
        """End it at once; `wait` says so."""
        self._process.kill()

    def close(self) -> None:
        """End it and the tasks that still run."""
        self._process.communicate()
