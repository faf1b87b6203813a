"""A NumPy file of uint8 rows that is written row by row, so that it is never in memory as a whole.

It begins as a copy of an older file's rows, and as long as it would hold just those, nothing is
written.
"""

import io
import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

Shape = tuple[int, int, int]


def header(count: int, shape: Shape) -> bytes:
    """The header of NumPy's format; equally long for every number of rows."""
    described = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, described)
    return text.getvalue()


def map_rows(path: Path) -> np.ndarray:
    """The rows (N, *shape) uint8 of a file, read-only, on disk until they are used.

    Raises:
        ValueError: it is no such file, or shorter or longer than its header says.
    """
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (count, *shape), _, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
    row = (int(shape[0]), int(shape[1]), int(shape[2]))
    size = offset + count * math.prod(row)
    if dtype != np.uint8 or offset != len(header(count, row)) or path.stat().st_size != size:
        raise ValueError(f"{path.name} holds something else than its header says")
    if size == offset:  # there is nothing to map
        return np.empty((count, *row), dtype=np.uint8)
    return np.memmap(path, np.uint8, "r", offset, (count, *row))


class RowWriter:
    """Writes a new file of rows, some of them taken from an old one.

    Args:
        new: the file to write; there is none before.
        old: a file whose rows are kept; None: all rows are new.
        num_old: its number of rows.
        shape: of a row.
    """

    def __init__(self, new: Path, old: Path | None, num_old: int, shape: Shape) -> None:
        self.count = 0
        self._is_whole = False
        self._new = new
        self._old_path = old
        self._num_old = num_old
        self._shape = shape
        self._offset = len(header(0, shape))
        self._length = math.prod(shape)
        self._old: BinaryIO | None = None
        self._file: BinaryIO | None = None

    def keep(self, row: int) -> None:
        """Append a row of the old file."""
        if self._file is None and row == self.count:
            self.count += 1
            return
        self._begin().write(self._old_row(row))
        self.count += 1

    def add(self, pixels: np.ndarray) -> None:
        """Append a new row, (*shape) uint8."""
        self._begin().write(np.ascontiguousarray(pixels).data)
        self.count += 1

    def finish(self) -> Path:
        """The file that has all rows: the old one if it is just those, else the new one, synced.

        Without it, the new file goes when the writer is closed.
        """
        if self._file is None and self._old_path is not None and self.count == self._num_old:
            return self._old_path
        file = self._begin()
        file.seek(0)
        file.write(header(self.count, self._shape))
        file.flush()
        os.fsync(file.fileno())
        self._is_whole = True
        return self._new

    def close(self) -> None:
        """Close what is open; a new file that was not finished is deleted."""
        for file in (self._old, self._file):
            if file is not None:
                file.close()
        if not self._is_whole:
            self._new.unlink(missing_ok=True)

    def _begin(self) -> BinaryIO:
        """The new file, made with the rows that were kept before it was needed."""
        if self._file is None:
            self._file = self._new.open("xb")
            self._file.write(header(0, self._shape))
            for row in range(self.count):
                self._file.write(self._old_row(row))
        return self._file

    def _old_row(self, row: int) -> bytes:
        if self._old is None:
            assert self._old_path is not None
            self._old = self._old_path.open("rb")
        self._old.seek(self._offset + row * self._length)
        return self._old.read(self._length)
