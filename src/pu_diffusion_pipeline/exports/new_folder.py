"""Where a command may write: a folder that is not there yet, in one that can be written to."""

import os
import tempfile
from pathlib import Path

from pu_diffusion_pipeline.errors import InvalidInput


def refuse_bad_place(folder: Path, name: str, *, empty_is_new: bool = False) -> None:
    """Refuse a folder that cannot become a new one, before any work.

    Args:
        folder: to be made.
        name: what the user knows it by, such as `--to`.
        empty_is_new: whether an empty folder may be there.

    Raises:
        InvalidInput: something is there, or its parent is missing or cannot be written to.
    """
    is_empty_folder = folder.is_dir() and not any(folder.iterdir())
    if os.path.lexists(folder) and not (empty_is_new and is_empty_folder):
        allowed = "a new or empty folder" if empty_is_new else "a new folder"
        raise InvalidInput(f"{name}: expected {allowed}, but {folder} is there; give another name")
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise InvalidInput(f"{name}: no folder {parent} to write {folder.name} to; make it first")
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise InvalidInput(
            f"{name}: {folder} cannot be written: {parent}: {error.strerror}"
        ) from error
