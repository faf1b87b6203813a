"""Files that are gone at the end, and the message where they find no room."""

import errno
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput

AT_ONCE = 2_048  # images
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def in_temporary_files() -> Iterator[None]:
    """Say where the room is missing, if it is.

    Raises:
        InvalidInput: naming the folder and the variable that chooses another one.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise InvalidInput(
            f"{tempfile.gettempdir()} has no room for the images that are read; make room there, "
            "or choose another folder by the environment variable TMPDIR"
        ) from error


def in_file(parts: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Images in a temporary file, so that memory does not grow with their number.

    Args:
        parts: of the images, uint8, in their order.
        shape: of all together, of at least one.
    """
    with in_temporary_files(), tempfile.TemporaryFile() as file:
        for part in parts:
            file.write(part.tobytes())
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=shape)


def in_order(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`images[rows]` in a temporary file: images that lie on disk stay there.

    Args:
        images: (N, C, H, W) uint8, at least one.
        rows: (n,) of them.
    """
    starts = range(0, len(rows), AT_ONCE)
    parts = (images[rows[start : start + AT_ONCE]] for start in starts)
    return in_file(parts, (len(rows), *images.shape[1:]))
