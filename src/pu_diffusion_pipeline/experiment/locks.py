"""Locks of run folders: one process writes in a folder at a time, and nobody reads meanwhile.

The lock is an advisory one (`flock`) on the file `.lock` in the folder. The system releases it when
its process ends, however it ends: a dead process holds nothing.
"""

import errno
import fcntl
import logging
import os
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Literal

from pu_diffusion_pipeline.errors import InvalidInput

log = logging.getLogger(__name__)

Policy = Literal["wait", "leave", "off"]
NAME = ".lock"
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def hold(folder: Path, policy: Policy, *, is_shared: bool) -> AbstractContextManager[object]:
    """Take the lock of a folder; it is held until the result is closed.

    Args:
        folder: made if it is not there, unless only to read in it.
        policy: what to do when another run holds it: wait for it or leave with a message; or off,
            to take no lock at all.
        is_shared: to read: others may read too. Where this process may not write the lock's file,
            it reads without a lock.

    Raises:
        InvalidInput: another run holds it and `policy` is leave, or the file system has no locks.
    """
    if policy == "off" or (is_shared and not folder.is_dir()):
        return nullcontext()
    while True:
        file = _open(folder, is_shared)
        if file is None:
            return nullcontext()
        _acquire(file, folder, policy, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX)
        if _is_still_there(file, folder):
            if not is_shared:
                _say_whose(file)
            return file
        file.close()  # the folder was deleted while we waited


def _open(folder: Path, is_shared: bool) -> IO[str] | None:
    if not is_shared:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / NAME).touch()
        return (folder / NAME).open("r+")
    except OSError as error:
        if is_shared and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
            return None
        raise


def _acquire(file: IO[str], folder: Path, policy: Policy, kind: int) -> None:
    try:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            _refuse_to_wait(file, folder, policy)
            log.info("Waiting: another run works in %s (%s)", folder, _whose(file))
            fcntl.flock(file, kind)
    except OSError as error:
        file.close()
        if error.errno in WITHOUT_LOCKS:
            raise InvalidInput(
                f"{folder} cannot be locked: its file system has no locks ({error.strerror}). Pass "
                "--params=folder_locks:off, and let no two runs write to one folder at once."
            ) from error
        raise
    except BaseException:
        file.close()
        raise


def _refuse_to_wait(file: IO[str], folder: Path, policy: Policy) -> None:
    if policy == "leave":
        raise InvalidInput(
            f"Another run works in {folder} ({_whose(file)}). Run the same command again when it "
            "has ended; or let it wait, with --params=folder_locks:wait or without --leave."
        )


def _is_still_there(file: IO[str], folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), (folder / NAME).stat())
    except FileNotFoundError:
        return False


def _say_whose(file: IO[str]) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()


def _whose(file: IO[str]) -> str:
    file.seek(0)
    return f"last taken by {file.read() or 'a reader'}"
