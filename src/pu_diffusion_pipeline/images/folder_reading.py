"""Reading the files of a user's folder: each is opened once, hashed, and decoded if it is new."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import BinaryIO, TypeVar

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
Read = Callable[[Entry], Outcome]
# Reads files at the same time; the outcomes come in the order of the files.
Reader = Callable[[list[Entry], Read], Generator[Outcome, None, None]]
Job = TypeVar("Job")


def read_files(
    entries: list[Entry], state: State, shape: Shape, most_pixels: int, reader: Reader
) -> Generator[Outcome, None, None]:
    """The outcome of each entry, in their order; only files that the store does not know are read.

    The row of a file whose digest is known has the position of that image, and no pixels.
    """
    rows = [_row_without_reading(entry, state, most_pixels) for entry in entries]
    unread = [entry for entry, row in zip(entries, rows, strict=True) if row is None]
    known = sorted_digests(state.row_of_digest)
    read = partial(_read, known=known, shape=shape, most_pixels=most_pixels)
    with (
        closing(reader(unread, read)) as outcomes,
        progress("Reading images", max(len(unread), 1), shown=bool(unread)) as bar,
    ):
        num_read = 0
        for row in rows:
            if row is not None:
                yield row, None
                continue
            new, pixels = next(outcomes)
            is_known = pixels is None and new.problem is None
            yield (_with_facts(new, state.row_of_digest) if is_known else new), pixels
            num_read += 1
            bar.update(num_read)


def read_with_threads(entries: list[Entry], read: Read) -> Generator[Outcome, None, None]:
    """Read files in threads of this process."""
    num_threads = min(MOST_THREADS, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(num_threads) as pool:
        ignore_warnings_of_pillow()
        jobs = (pool.submit(read, entry) for entry in entries)
        for job in read_ahead(jobs, 8 * num_threads):
            yield job.result()


def read_ahead(jobs: Iterable[Job], count: int) -> Iterator[Job]:
    """The jobs in their order, each one only when `count` more have been started."""
    waiting: deque[Job] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) > count:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def ignore_warnings_of_pillow() -> None:
    """Within `warnings.catch_warnings`. What it warns of is harmless, or a problem anyway."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def sorted_digests(digests: Collection[str]) -> np.ndarray:
    """(N,) bytes. As one array, processes can share them without copies."""
    return np.sort(np.array(list(digests), dtype="S64"))


def _is_among(digest: str, known: np.ndarray) -> bool:
    place = np.searchsorted(known, np.bytes_(digest))
    return bool(place < len(known) and known[place] == digest.encode())


def _with_facts(row: Row, digests: dict[str, Row]) -> Row:
    """What the store knows of an image of these bytes, for the file of this row."""
    return digests[str(row.sha256)]._replace(
        path=row.path, role=row.role, size=row.size, mtime_ns=row.mtime_ns, inode=row.inode
    )


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


def _read(entry: Entry, known: np.ndarray, shape: Shape, most_pixels: int) -> Outcome:
    """Open a file, hash it and, if its digest is not known, decode it."""
    blank = Row(None, entry.path, entry.role)
    try:
        with open_regular(entry.location) as file:
            row, pixels = _content(file, blank, known, shape, most_pixels)
            stamp = stamp_of(os.fstat(file.fileno()))
    except OSError as error:
        return blank._replace(problem=error.strerror), None
    except MemoryError:
        return blank._replace(problem="too little memory to decode it"), None
    if stamp != entry.stamp:
        return blank._replace(problem="changed while the folder was read"), None
    return row._replace(**stamp._asdict()), pixels


def _content(
    file: BinaryIO, blank: Row, known: np.ndarray, shape: Shape, most_pixels: int
) -> Outcome:
    digest = _sha256(file)
    if _is_among(digest, known):
        return blank._replace(sha256=digest), None
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
