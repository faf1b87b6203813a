"""A real file system with little room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def disk(tmp_path) -> Iterator:
    """A function that makes a file system with room for a file, and so many pages more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    page = os.sysconf("SC_PAGE_SIZE")

    def make(size: int, more: int = 0) -> Path:
        room = (-(-size // page) + more) * page
        command = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)]
        try:
            mounted = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"no file system can be mounted here: {error}")
        if mounted.returncode:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
