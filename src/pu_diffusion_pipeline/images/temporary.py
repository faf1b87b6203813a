"""Files that are gone at the end, and the message where they find no room."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pu_diffusion_pipeline.errors import InvalidInput

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
