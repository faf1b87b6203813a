"""Write docs/first_minute.md: python docs/site/first_minute.py

What the first commands of the README print in a terminal of 100 columns. They run in a folder of
their own with the benchmark `test`, whose images are made up and whose models learn nothing.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pyte

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs/first_minute.md"
COMMANDS = ("kedro run --pipeline=recommended", "kedro run --pipeline=summarize")
COLUMNS, LINES = 100, 1000
TIME = re.compile(r"^(\d\d:\d\d:\d\d | {9}(?= {9}))")  # or its room below
HEAD = """# The first minute

What the first commands of the [README](../README.md#use) print, in a terminal of 100 columns. The
benchmark here is `test` (`export KEDRO_ENV=test` before them, `unset KEDRO_ENV` afterwards): its
images are made up and its models train for six steps, so the numbers mean nothing. `make
screenshots` writes this page; it leaves out the time at the start of each line.
"""


def page() -> str:
    """The commands with what they print."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        for name in ("conf", "pyproject.toml"):
            (project / name).symlink_to(REPO / name)
        (project / "src").mkdir()  # Kedro looks for it; the package itself is installed
        parts = [f"```text\n$ {command}\n{printed(command, project)}\n```" for command in COMMANDS]
    return "\n\n".join([HEAD.rstrip(), *parts]) + "\n"


def printed(command: str, folder: Path) -> str:
    """What stays on the screen after a command, without the time at the start of a line.

    Raises:
        SystemExit: the command fails.
    """
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "TERM": "xterm", "KEDRO_ENV": "test", "KEDRO_DISABLE_TELEMETRY": "1"}
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command.split(), cwd=folder, stdin=end, stdout=end, stderr=end, env={**given, **own}
    )
    os.close(end)
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    while content := _read(terminal):
        stream.feed(content)
    os.close(terminal)
    text = "\n".join(TIME.sub("", line).rstrip() for line in screen.display).rstrip()
    if process.wait():
        sys.exit(f"{command} failed:\n{text}")
    return text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # on Linux the end of what was printed
        return b""


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE.relative_to(REPO))
