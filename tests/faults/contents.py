"""What lies under a project's `data/`, to be compared byte by byte."""

import hashlib
from pathlib import Path


def contents(project: Path) -> dict[str, str]:
    """Path of each file, relative to `data/`, to its sha256; of a lock only that it is there."""
    data = project / "data"
    files = sorted(path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): _digest(path) for path in files}


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """The paths that are missing, new or changed."""
    paths = sorted(expected.keys() | found.keys())
    return [path for path in paths if expected.get(path) != found.get(path)]


def _digest(path: Path) -> str:
    return "" if path.name == ".lock" else hashlib.sha256(path.read_bytes()).hexdigest()
