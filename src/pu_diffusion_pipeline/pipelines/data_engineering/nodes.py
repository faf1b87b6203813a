"""Nodes of data engineering."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.diffusion.options import ComputeOptions
from pu_diffusion_pipeline.images.folder_source import index_folder, near_pairs, open_store
from pu_diffusion_pipeline.images.image_set import ImageSet, read_image_set
from pu_diffusion_pipeline.images.image_store import ImageStore
from pu_diffusion_pipeline.images.options import FOLDER, DataOptions
from pu_diffusion_pipeline.images.sources import Source, open_source
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.positive_unlabeled.folder_split import split_folder
from pu_diffusion_pipeline.positive_unlabeled.index_tables import split_index
from pu_diffusion_pipeline.training.options import TrainingOptions

if TYPE_CHECKING:
    from diffusers import DDPMPipeline

log = logging.getLogger(__name__)


def index_source(data: DataOptions, image_store: ImageStore) -> pd.DataFrame:
    """List every source image with its class and digest; missing files are downloaded.

    Of a user's own folder, whose images are decoded into the store: a row for each file.
    """
    if data.source == FOLDER:
        return index_folder(data, image_store)
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
    """Draw which source images are in U, in S, for testing and for training the judge."""
    split = split_folder if data.source == FOLDER else split_index
    return dict(split(raw_index, data, seed))


def read_image_sets(
    data: DataOptions, image_store: ImageStore, *tables: pd.DataFrame
) -> tuple[ImageSet, ...]:
    """Decode and resize the images that each index table lists."""
    source = _source(data, image_store)
    return tuple(read_image_set(source, table, data) for table in tables)


def _source(data: DataOptions, image_store: ImageStore) -> Source:
    if data.source == FOLDER:
        return open_store(image_store)
    return open_source(data.source, data.root, download=False)


def render_data_report(
    raw_index: pd.DataFrame,
    class_prior: Record,
    initial_model: "DDPMPipeline",
    image_store: ImageStore,
    data: DataOptions,
    training: TrainingOptions,
    compute: ComputeOptions,
    benchmark: str,
) -> str:
    """Write the page on what a user's folder holds and how long training takes here.

    Its main lines also go to the log.
    """
    from pu_diffusion_pipeline.reports.data_report import (
        FolderFacts,
        folder_lines,
        render_data_report,
    )
    from pu_diffusion_pipeline.training.timing import training_seconds

    near, labels = near_pairs(raw_index), data.folder.labels
    facts = FolderFacts(raw_index, near, data.image_size, None, class_prior, labels)
    one = training_seconds(initial_model.unet, facts.num_training, data, training, compute)
    facts = replace(facts, seconds=len(DEFAULT_METHODS) * one)
    for line in folder_lines(facts):
        log.info(line)
    return render_data_report(benchmark, facts, image_store.images())


def select_normal(unlabeled: ImageSet, oracle_unlabeled: pd.DataFrame) -> ImageSet:
    """Keep the truly normal images of U, for the reference method oracle only."""
    return unlabeled.select(np.flatnonzero(~oracle_unlabeled["is_sensitive"].to_numpy()))
