"""Nodes of data engineering."""

from typing import Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
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
    """Index tables of U, S, N, test, held-out and judge images, and the ground truth about U.

    The tables of U and S hold no class: nothing downstream of them knows which images of U are sensitive. Conditional
    training is given the class as its condition c (Eq. 20), but not which classes are sensitive.
    """
    checked = load_parameters(parameters)
    normal_classes = checked.data.normal_classes
    split = split_images(
        raw_index["class"].to_numpy(),
        raw_index["is_test"].to_numpy(),
        normal_classes,
        checked.data.counts.model_dump(),
        checked.seed,
        checked.data.judge_split,
    )
    blind, known = ["position", "sha256"], ["position", "sha256", "class"]
    if checked.data.num_conditions is not None:
        _check_conditions(raw_index["class"], checked.data.num_conditions)
        raw_index = raw_index.assign(condition=raw_index["class"])
        blind = [*blind, "condition"]
    oracle = raw_index.iloc[split.unlabeled][known].assign(
        is_sensitive=is_sensitive(raw_index["class"].to_numpy()[split.unlabeled], normal_classes)
    )
    tables = [
        raw_index.iloc[positions][columns]
        for positions, columns in zip(split, (blind, blind, blind, known, known, known), strict=True)
    ]
    return tuple(table.reset_index(drop=True) for table in (*tables, oracle))


def read_training_images(
    unlabeled_index: pd.DataFrame,
    labeled_sensitive_index: pd.DataFrame,
    labeled_normal_index: pd.DataFrame,
    parameters: dict[str, Any],
) -> tuple[ImageSet, ...]:
    """Decode and size the images of U, S and N."""
    return _read((unlabeled_index, labeled_sensitive_index, labeled_normal_index), parameters, "split")


def select_normal(unlabeled: ImageSet, oracle_unlabeled: pd.DataFrame) -> ImageSet:
    """The normal part of U by ground truth: for the reference method `oracle` only."""
    rows = np.flatnonzero(~oracle_unlabeled["is_sensitive"].to_numpy())
    images = unlabeled.images[rows]
    conditions = None if unlabeled.conditions is None else unlabeled.conditions[rows]
    return ImageSet(images, {"settings": unlabeled.manifest["settings"], "sha256": digest(images)}, conditions)


def _check_conditions(classes: pd.Series, num_conditions: int) -> None:
    if classes.max() >= num_conditions:
        raise InvalidInput(
            f"data.num_conditions must be at least {classes.max() + 1} for this source, got {num_conditions}"
        )


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
    sets = []
    for index in indexes:
        images = read_images(source, index["position"].to_numpy(), data.image_size, data.channels)
        conditions = index["condition"].to_numpy(np.int64) if "condition" in index else None
        sets.append(ImageSet(images, {"settings": made_with, "sha256": digest(images)}, conditions))
    return tuple(sets)
