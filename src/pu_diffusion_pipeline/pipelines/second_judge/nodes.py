"""Nodes of the second judge."""

from typing import TYPE_CHECKING

import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.options import JudgeOptions
from pu_diffusion_pipeline.metrics.registry import Record

if TYPE_CHECKING:
    from pu_diffusion_pipeline.metrics.second_judge import SecondJudge


def train_second_judge(
    judge_images: ImageSet,
    judge_index: pd.DataFrame,
    test_images: ImageSet,
    heldout_images: ImageSet,
    normal_classes: tuple[int, ...],
    judge: JudgeOptions,
) -> "SecondJudge":
    """Train a judge of another kind on the first one's images."""
    from pu_diffusion_pipeline.metrics.second_judge import accuracy_of, train_second_judge

    is_normal = judge_index["class"].isin(normal_classes).to_numpy()
    second = train_second_judge(judge_images.images, is_normal, judge.seed)
    second.manifest.update(accuracy_of(second, test_images.images, heldout_images.images))
    return second


def ask_second_judge(
    samples: ImageSet,
    judgements: pd.DataFrame,
    second_judge: "SecondJudge",
    labeled_sensitive: ImageSet,
    heldout_images: ImageSet,
) -> Record:
    """Ask the second judge about the samples, and look for copies of S among them."""
    from pu_diffusion_pipeline.metrics.second_judge import second_opinion

    sensitive = (labeled_sensitive.images, heldout_images.images)
    found = second_opinion(second_judge, samples.images, judgements, *sensitive)
    return {"method": samples.manifest["training"]["method"], **found}
