"""Nodes of data engineering."""

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet, read_image_set
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.positive_unlabeled.index_tables import split_index


def index_source(data: DataOptions) -> pd.DataFrame:
    """A row for each source image: position, class, partition, sha256. Downloads missing files."""
    source = open_source(data.source, data.root, data.download)
    positions = np.arange(len(source.classes))
    return pd.DataFrame(
        {
            "position": positions,
            "class": source.classes,
            "is_test": source.is_test,
            "sha256": source.digests(positions),
        }
    )


def split_source(raw_index: pd.DataFrame, data: DataOptions, seed: int) -> dict[str, pd.DataFrame]:
    """The index tables of U, S, N, test, held-out and judge images, and the truth about U."""
    return dict(split_index(raw_index, data, seed))


def read_image_sets(data: DataOptions, *tables: pd.DataFrame) -> tuple[ImageSet, ...]:
    """Decode and size the images of each index table."""
    source = open_source(data.source, data.root, download=False)
    return tuple(read_image_set(source, table, data) for table in tables)


def select_normal(unlabeled: ImageSet, oracle_unlabeled: pd.DataFrame) -> ImageSet:
    """The normal part of U by ground truth: for the reference method `oracle` only."""
    return unlabeled.select(np.flatnonzero(~oracle_unlabeled["is_sensitive"].to_numpy()))
