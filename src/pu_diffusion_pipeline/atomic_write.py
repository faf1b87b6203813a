"""Files and folders that are written completely or not at all: a temporary one, then a rename.

A process that is killed leaves a temporary path, or, between the two renames of a folder, the old
folder under another name. Such names hold the machine and the process they belong to, so that
`sweep` knows those whose owner is gone.
"""

import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVER = re.compile(r"\.(?P<kind>tmp|old)-(?P<host>[^-]+)-(?P<pid>\d+)-\w{8}-(?P<name>.+)")


@contextmanager
def atomic_write(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `final`; what is written there becomes `final`.

    Works for files and folders. If the block raises, `final` stays as it was and the temporary path
    is removed.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    token = f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    temporary = final.with_name(f".tmp-{token}-{final.name}")
    try:
        yield temporary
        if final.is_dir():  # a full folder cannot be replaced in one step
            old = final.with_name(f".old-{token}-{final.name}")
            final.rename(old)
            try:
                temporary.rename(final)
            except OSError:
                old.rename(final)
                raise
            shutil.rmtree(old)
        else:
            os.replace(temporary, final)
    finally:
        _remove(temporary)


def sweep(folder: Path) -> None:
    """Put right what processes that are gone have left in a folder.

    A folder that was on its way to be replaced comes back if the new one is not there; everything
    else is deleted. What belongs to a process that lives, or to another machine, stays.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        found = LEFTOVER.fullmatch(path.name)
        if found is None or found["host"] != _host() or _lives(int(found["pid"])):
            continue
        final = path.with_name(found["name"])
        if found["kind"] == "old" and not final.exists():
            path.rename(final)
        else:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
