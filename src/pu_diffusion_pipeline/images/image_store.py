"""A user's folder of images, decoded once: an array on disk that is kept up to date.

The store's folder holds `images-<token>.npy`, one row for each image that can be read, and
`files.parquet`, one row for each file, which names that array. The table takes its place in one
step after the array is whole. So whoever is killed leaves a sound store, and at most an array that
no table names; the next update deletes it.
"""

import fcntl
import logging
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.atomic_write import sweep
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.decoding import MOST_PIXELS, RULE, check_pixel_limit
from pu_diffusion_pipeline.images.folder_listing import list_folder
from pu_diffusion_pipeline.images.folder_reading import Reader, read_files, read_with_threads
from pu_diffusion_pipeline.images.ray_reading import FIELD, read_with_ray
from pu_diffusion_pipeline.images.row_file import RowWriter, Shape, map_rows
from pu_diffusion_pipeline.images.store_table import Row, index_of, load, save
from pu_diffusion_pipeline.ray_connection import require_ray

log = logging.getLogger(__name__)

LOCK = ".store.lock"
READERS: dict[str, Reader] = {"threads": read_with_threads, "ray": read_with_ray}


class FolderImages(NamedTuple):
    """What a folder holds.

    Attributes:
        index: one row for each file, sorted by path: position (row in `images`), path, role,
            sha256 of the file's bytes, width, height, mode, format, difference_hash, problem. A
            file that cannot be read has a problem and no position; all others have positions
            0, 1, ... in this order.
        images: (N, channels, size, size) uint8, memory-mapped.
        num_enlarged: images whose shorter side is below `size`.
    """

    index: pd.DataFrame
    images: np.ndarray
    num_enlarged: int


class ImageStore:
    """The decoded images of a user's folder.

    Args:
        folder: where the store is kept, made if it is not there. Each folder of a user needs a
            store of its own, and it must not lie below that folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def update(
        self,
        root: str | Path,
        size: int,
        channels: int,
        most_pixels: int = MOST_PIXELS,
        engine: Literal["threads", "ray"] = "threads",
    ) -> FolderImages:
        """Read a user's folder of images; decode what the store does not have yet.

        A file whose size, time of change (ns) and inode are those of the last update is taken to be
        the same and is not opened. So a file whose bytes were replaced in place within one tick of
        the file system's clock, at equal size, goes unnoticed. Other files are hashed, and decoded
        only if the store has no image of that digest. With other sizes, another limit, another rule
        of `decoding` or another Pillow, the store is made anew.

        Memory does not grow with the number of images, but for the table. A second process waits.

        Args:
            root: the user's folder; see `folder_listing.list_folder`.
            size: side of the images, in pixels.
            channels: 1 or 3.
            most_pixels: images with more are refused.
            engine: what reads the files: threads, at most 8, or Ray. The store is the same.

        Raises:
            InvalidInput: the folder lacks a role; there are no locks; or Ray cannot be used.
            ProcessFailed: Ray could not read the files.
        """
        check_pixel_limit(most_pixels)
        reader = _reader(engine)
        entries = list_folder(root)
        shape = (channels, size, size)
        made_with = _made_with(shape, most_pixels)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder):
            sweep(self.folder)
            state = load(self.folder, made_with)
            self._remove_arrays(state.array)
            new = self.folder / f"images-{uuid.uuid4().hex[:8]}.npy"
            with (
                closing(RowWriter(new, state.array, state.num_images, shape)) as writer,
                closing(read_files(entries, state, shape, most_pixels, reader)) as outcomes,
            ):
                rows = [_placed(row, pixels, writer) for row, pixels in outcomes]
                array = writer.finish()
            if rows != list(state.rows.values()):
                save(self.folder, rows, {**made_with, "array": array.name})
            self._remove_arrays(array)
            return _folder_images(rows, map_rows(array), size)

    def images(self) -> np.ndarray:
        """What the last update decoded: (N, channels, size, size) uint8, memory-mapped.

        Raises:
            InvalidInput: there was none.
        """
        arrays = list(self.folder.glob("images-*.npy"))
        if len(arrays) != 1:
            raise InvalidInput(
                f"{self.folder} holds no decoded images; make them anew: "
                "kedro run --pipeline=data_engineering (same --env and --params)"
            )
        return map_rows(arrays[0])

    def _remove_arrays(self, current: Path | None) -> None:
        for path in self.folder.glob("images-*.npy"):
            if path != current:
                path.unlink()


def _reader(engine: str) -> Reader:
    if engine == "ray":
        require_ray(FIELD)
    return READERS[engine]


def _made_with(shape: Shape, most_pixels: int) -> dict[str, object]:
    import PIL

    return {
        "rule": RULE,
        "pillow": PIL.__version__,
        "shape": list(shape),
        "most_pixels": most_pixels,
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the store's lock; the system releases it when its process ends, however it ends."""
    with (folder / LOCK).open("a") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("Waiting: another process reads images into %s", folder)
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise InvalidInput(
                f"{folder} cannot be locked ({error.strerror}): its file system has no locks. Keep "
                "the store of images on another one."
            ) from error
        yield


def _placed(row: Row, pixels: np.ndarray | None, writer: RowWriter) -> Row:
    """Write an image's pixels, or those that the store has; the row, with its new position."""
    if row.problem is not None:
        return row
    position = writer.count
    if pixels is not None:
        writer.add(pixels)
    elif row.position is not None:
        writer.keep(row.position)
    return row._replace(position=position)


def _folder_images(rows: list[Row], images: np.ndarray, size: int) -> FolderImages:
    num_enlarged = sum(min(row.width or size, row.height or size) < size for row in rows)
    if num_enlarged:
        log.warning("%d of %d images are enlarged to %d pixels", num_enlarged, len(images), size)
    return FolderImages(index_of(rows), images, num_enlarged)
