"""Files and folders that are written completely or not at all: a temporary one, then a rename."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `final`; what is written there becomes `final`.

    Works for files and folders. If the block raises, `final` stays as it was and the temporary path
    is removed.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
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
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
