"""A copy of this project, in which a benchmark runs `kedro` without touching anybody's data."""

import os
import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def copy_project(folder: Path) -> Path:
    """Configuration and code, without data; a copy that is there already is kept as it is."""
    if not (folder / "pyproject.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("conf", "src"):
            shutil.copytree(PROJECT / name, folder / name)
        shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    """The environment variables of a `kedro` in the copy."""
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "DO_NOT_TRACK": "1", **more}
