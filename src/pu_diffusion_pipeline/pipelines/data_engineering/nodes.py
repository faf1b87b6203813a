"""Nodes of data engineering."""

from typing import Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.identity import digest, settings
from pu_diffusion_pipeline.images.image_set import ImageSet, read_images
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.parameters import Data, load_parameters
from pu_diffusion_pipeline.positive_unlabeled.split import is_sensitive, split_images


def index_source(data: Data) -> pd.DataFrame:
    """A row for each source image: position, class, partition and sha256. Downloads what is missing."""
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


def split_source(raw_index: pd.DataFrame, parameters: dict[str, Any]) -> tuple[pd.DataFrame, ...]:
    """Index tables of U, S, test, held-out and judge images, and the ground truth about U.

    The tables of U and S hold no class: nothing downstream of them knows which images of U are sensitive.
    """
    checked = load_parameters(parameters)
    normal_classes = checked.data.normal_classes
    split = split_images(
        raw_index["class"].to_numpy(),
        raw_index["is_test"].to_numpy(),
        normal_classes,
        checked.data.counts.model_dump(),
        checked.seed,
    )
    blind, known = ["position", "sha256"], ["position", "sha256", "class"]
    oracle = raw_index.iloc[split.unlabeled][known].assign(
        is_sensitive=is_sensitive(raw_index["class"].to_numpy()[split.unlabeled], normal_classes)
    )
    tables = [
        raw_index.iloc[positions][columns]
        for positions, columns in zip(split, (blind, blind, known, known, known), strict=True)
    ]
    return tuple(table.reset_index(drop=True) for table in (*tables, oracle))


def read_training_images(
    unlabeled_index: pd.DataFrame, labeled_sensitive_index: pd.DataFrame, parameters: dict[str, Any]
) -> tuple[ImageSet, ImageSet]:
    """Decode and size the images of U and S."""
    return _read((unlabeled_index, labeled_sensitive_index), parameters, "split")


def read_evaluation_images(
    test_index: pd.DataFrame, heldout_index: pd.DataFrame, judge_index: pd.DataFrame, parameters: dict[str, Any]
) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Decode and size the test, held-out and judge images."""
    return _read((test_index, heldout_index, judge_index), parameters, "source")


def _read(indexes: tuple[pd.DataFrame, ...], parameters: dict[str, Any], stage: str) -> tuple[ImageSet, ...]:
    checked = load_parameters(parameters)
    data = checked.data
    source = open_source(data.source, data.root, download=False)
    made_with = settings(checked, stage)
    arrays = (read_images(source, index["position"].to_numpy(), data.image_size, data.channels) for index in indexes)
    return tuple(ImageSet(images, {"settings": made_with, "sha256": digest(images)}) for images in arrays)
