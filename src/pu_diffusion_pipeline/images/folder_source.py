"""A user's own folder as a source: the index of its files, and their images from the store."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.duplicates import NearDuplicates, near_duplicates
from pu_diffusion_pipeline.images.folder_checks import check_folder
from pu_diffusion_pipeline.images.folder_labels import read_labels
from pu_diffusion_pipeline.images.image_store import ImageStore
from pu_diffusion_pipeline.images.options import DataOptions, FolderOptions
from pu_diffusion_pipeline.images.sources import Source
from pu_diffusion_pipeline.images.temporary import in_temporary_files

NORMAL, SENSITIVE, UNKNOWN = 0, 1, -1  # classes of a folder's images
CLASSES = {"normal": NORMAL, "sensitive": SENSITIVE}  # of roles
SMALL = 32  # pixels; enough for a first look


def index_folder(data: DataOptions, store: ImageStore) -> pd.DataFrame:
    """A row for each file of the folder, decoded into the store.

    Args:
        data: where the folder is, and how it is read.
        store: keeps the decoded images.

    Returns:
        The columns of `FolderImages.index`, and class: 0 normal, 1 sensitive, -1 unknown. Copies
        that are dropped have a problem and no position.

    Raises:
        InvalidInput: the folder cannot be used, or labels.csv cannot be read.
    """
    how = data.folder
    found = store.update(data.root, data.image_size, data.channels, how.max_pixels, how.engine)
    index = _usable(data.root, found.index, how)
    return index.assign(**{"class": _classes(data, index)})


def _usable(root: str, index: pd.DataFrame, folder: FolderOptions) -> pd.DataFrame:
    kept = check_folder(root, index, folder.most_unreadable, folder.duplicates).index
    dropped = index["problem"].isna() & ~index["path"].isin(kept["path"])
    index = index.copy()
    index.loc[dropped, "problem"] = "a copy of an image in another folder"
    index.loc[dropped, "position"] = pd.NA
    return index


def _classes(data: DataOptions, index: pd.DataFrame) -> np.ndarray:
    """(N,) int64, what the folders and labels.csv say."""
    classes = index["role"].map(CLASSES)
    if data.folder.labels:
        labels = read_labels(data.root, index).set_index("path")["sensitive"]
        classes = classes.fillna(index["path"].map(labels.astype(int)))
    return classes.fillna(UNKNOWN).to_numpy(np.int64)


def open_store(store: ImageStore) -> Source:
    """The decoded images of a folder as a source, by their position in the store.

    What they show is not told here: whoever reads images does not know which are sensitive.

    Args:
        store: as `index_folder` has left it.

    Raises:
        InvalidInput: there is no store.
    """
    images = store.images()
    return Source(
        classes=np.full(len(images), UNKNOWN),
        is_test=np.zeros(len(images), dtype=bool),
        read=lambda position: images[position].transpose(1, 2, 0).squeeze(),
        raw=lambda position: images[position].tobytes(),
    )


def look_at_folder(root: Path, folder: FolderOptions) -> tuple[pd.DataFrame, NearDuplicates]:
    """A first look: the index, and pairs of images that look alike. Nothing is kept.

    Args:
        root: the folder.
        folder: how it is read.

    Raises:
        InvalidInput: the folder cannot be used.
    """
    with in_temporary_files(), tempfile.TemporaryDirectory() as temporary:
        found = ImageStore(temporary).update(root, SMALL, 3, folder.max_pixels, folder.engine)
        index = _usable(str(root), found.index, folder)
    return index, near_pairs(index)


def near_pairs(index: pd.DataFrame) -> NearDuplicates:
    """Pairs of images that look alike; `i` and `j` are rows among the images with a position."""
    hashes = index.loc[index["position"].notna(), "difference_hash"]
    return near_duplicates(hashes.to_numpy(np.uint64))
