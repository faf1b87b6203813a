"""Reading the files of a user's folder: each is opened once, hashed, and decoded if it is new."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

import numpy as np

from pu_diffusion_pipeline.digests import BLOCK
from pu_diffusion_pipeline.images.decoding import Unreadable, decode
from pu_diffusion_pipeline.images.folder_listing import Entry, open_regular, stamp_of
from pu_diffusion_pipeline.images.row_file import Shape
from pu_diffusion_pipeline.images.store_table import Row, State
from pu_diffusion_pipeline.progress import progress

MOST_THREADS = 8  # each may hold a large image in memory
BYTES_PER_PIXEL = 8  # of the largest format, four channels of 16 bits
# A file's row and, if it was decoded just now, its pixels.
Outcome = tuple[Row, np.ndarray | None]
Job = Row | Future[Outcome]


def read_files(
    entries: list[Entry], state: State, shape: Shape, most_pixels: int, num_threads: int | None
) -> Generator[Outcome, None, None]:
    """The outcome of each entry, in their order; threads read some files ahead."""
    rows = [_row_without_reading(entry, state, most_pixels) for entry in entries]
    num_unread = rows.count(None)
    num_threads = num_threads or min(MOST_THREADS, os.cpu_count() or 1)
    read = partial(_read, digests=state.row_of_digest, shape=shape, most_pixels=most_pixels)
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(num_threads) as pool,
        progress("Reading images", max(num_unread, 1), shown=num_unread > 0) as bar,
    ):
        warnings.filterwarnings("ignore", module=r"PIL\.")  # a harmless fault, or a problem anyway
        pairs = zip(entries, rows, strict=True)
        jobs = (row or pool.submit(read, entry) for entry, row in pairs)
        num_read = 0
        for job in _read_ahead(jobs, 8 * num_threads):
            if isinstance(job, Row):
                yield job, None
            else:
                yield job.result()
                num_read += 1
                bar.update(num_read)


def _read_ahead(jobs: Iterator[Job], count: int) -> Iterator[Job]:
    """The jobs in their order, each one only when `count` more have been started."""
    waiting: deque[Job] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def _row_without_reading(entry: Entry, state: State, most_pixels: int) -> Row | None:
    """The row of a file that the store knows or that must not be opened."""
    blank = Row(None, entry.path, entry.role)
    if entry.stamp is None:
        return blank._replace(problem=entry.problem)
    if entry.stamp.size > most_pixels * BYTES_PER_PIXEL:
        return blank._replace(
            problem=f"{entry.stamp.size} bytes, too many for {most_pixels} pixels"
        )
    known = state.rows.get(entry.path)
    return known if known is not None and known.is_true_of(entry) else None


def _read(entry: Entry, digests: dict[str, Row], shape: Shape, most_pixels: int) -> Outcome:
    """Open a file, hash it and, if its digest is new, decode it."""
    blank = Row(None, entry.path, entry.role)
    try:
        with open_regular(entry.location) as file:
            row, pixels = _content(file, blank, digests, shape, most_pixels)
            stamp = stamp_of(os.fstat(file.fileno()))
    except OSError as error:
        return blank._replace(problem=error.strerror), None
    except MemoryError:
        return blank._replace(problem="too little memory to decode it"), None
    if stamp != entry.stamp:
        return blank._replace(problem="changed while the folder was read"), None
    return row._replace(**stamp._asdict()), pixels


def _content(
    file: BinaryIO, blank: Row, digests: dict[str, Row], shape: Shape, most_pixels: int
) -> Outcome:
    digest = _sha256(file)
    if digest in digests:
        return digests[digest]._replace(path=blank.path, role=blank.role), None
    file.seek(0)
    try:
        decoded = decode(file, shape[1], shape[0], most_pixels)
    except Unreadable as error:
        return blank._replace(sha256=digest, problem=str(error)), None
    facts = decoded._asdict()
    pixels = facts.pop("pixels")
    return blank._replace(sha256=digest, **facts), pixels


def _sha256(file: BinaryIO) -> str:
    sha = hashlib.sha256()
    while block := file.read(BLOCK):
        sha.update(block)
    return sha.hexdigest()
