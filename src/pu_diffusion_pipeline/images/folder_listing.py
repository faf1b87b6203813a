"""The files of a user's folder of images: which there are, in what role, and what cannot be read.

PATH/unlabeled and PATH/sensitive must be there, PATH/normal and PATH/test may be. Images may lie in
sub-folders. Nothing is opened here, and nothing is ever written below PATH.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pu_diffusion_pipeline.errors import InvalidInput

log = logging.getLogger(__name__)

ROLES = ("unlabeled", "sensitive", "normal", "test")
NEEDED = ("unlabeled", "sensitive")
# What systems put beside images, in lower case; names that begin with a dot are skipped too.
BY_PRODUCTS = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}
KINDS = {
    stat.S_IFDIR: "a link to a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Stamp(NamedTuple):
    """What tells, without reading it, that a file is still the same."""

    size: int
    mtime_ns: int
    inode: int


class Entry(NamedTuple):
    """A file below PATH.

    Attributes:
        path: its name relative to PATH, as `path_text` writes it.
        role: one of `ROLES`.
        location: where to open it; for a link, where it leads.
        stamp: None if the file cannot be read.
        problem: why it cannot be read; None if nothing is known against it.
    """

    path: str
    role: str
    location: str
    stamp: Stamp | None
    problem: str | None


def path_text(path: str) -> str:
    r"""A file's name as text that any table can hold, different for different names.

    Bytes that are no UTF-8 are written as `\xff`, and a backslash as two.
    """
    return os.fsencode(path).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def shown(path: str) -> str:
    """A name for a message: in quotes if it has line breaks or other control characters."""
    return path if path.isprintable() else repr(path)


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def open_regular(location: str | Path) -> BinaryIO:
    """Open an ordinary file; neither a pipe that has taken its place nor a link is waited for.

    Raises:
        OSError: it is gone, may not be read, or is no ordinary file.
    """
    descriptor = os.open(location, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "no ordinary file")
    return os.fdopen(descriptor, "rb")


def list_folder(root: str | Path) -> list[Entry]:
    """All files below PATH's roles, sorted by path; so those of a role stand together.

    Hidden files and by-products such as Thumbs.db are skipped. What can never be read is listed
    with its problem: pipes, sockets, devices, folders that may not be read, links to folders, and
    links that lead out of PATH or nowhere.

    Raises:
        InvalidInput: PATH is no folder, or the folder of a role is missing, empty or a link.
    """
    root = Path(root)
    roles = _role_folders(root)
    within = os.path.realpath(root)
    entries = [entry for role in roles for entry in _below(root, within, role)]
    for role in NEEDED:
        if all(entry.role != role for entry in entries):
            raise InvalidInput(
                f"data.root {root}: the folder {role} has no files. Put the {role} images there."
            )
    return sorted(entries)


def _role_folders(root: Path) -> list[str]:
    """The roles that PATH has; a warning names folders that are none."""
    try:
        found = sorted(item.name for item in os.scandir(root) if not _is_skipped(item.name))
    except OSError as error:
        raise InvalidInput(
            f"data.root {root} must be a folder that can be read: {error.strerror}"
        ) from error
    for role in ROLES:
        _check_role(root, role, found)
    others = [name for name in found if name not in ROLES and (root / name).is_dir()]
    if others:
        log.warning("data.root %s: not read, because it is no role: %s", root, _names(others))
    return [role for role in ROLES if role in found]


def _check_role(root: Path, role: str, found: list[str]) -> None:
    if role in found:
        if (root / role).is_symlink() or not (root / role).is_dir():
            raise InvalidInput(
                f"data.root {root}: {role} must be a folder, not a file or a link. Move the images "
                f"to {root / role}, or set data.root to where they are."
            )
    elif role in NEEDED:
        raise InvalidInput(
            f"data.root {root}: there is no folder {role}. Expected the folders unlabeled and "
            "sensitive, and if wanted normal and test; "
            f"found: {_names(found) if found else 'nothing'}."
        )


def _names(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(shown(path_text(name)) for name in names[:5]) + more


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name.lower() in BY_PRODUCTS


def _below(root: Path, within: str, role: str) -> Iterator[Entry]:
    waiting = [str(root / role)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as items:
                found = [item for item in items if not _is_skipped(item.name)]
        except OSError as error:
            yield Entry(_relative(root, folder), role, folder, None, _reason(error))
            continue
        for item in found:
            if item.is_dir(follow_symlinks=False):
                waiting.append(item.path)
            else:
                yield _entry(root, within, role, item)


def _entry(root: Path, within: str, role: str, item: os.DirEntry[str]) -> Entry:
    path = _relative(root, item.path)
    location = item.path
    try:
        if item.is_symlink():
            location = os.path.realpath(item.path, strict=True)
            if not Path(location).is_relative_to(within):
                return Entry(path, role, location, None, "a link that leads out of the folder")
        status = Path(location).lstat()
    except OSError as error:
        return Entry(path, role, location, None, _reason(error))
    kind = KINDS.get(stat.S_IFMT(status.st_mode))
    return Entry(path, role, location, None if kind else stamp_of(status), kind)


def _relative(root: Path, path: str) -> str:
    return path_text(Path(path).relative_to(root).as_posix())


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
