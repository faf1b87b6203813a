"""Nodes of the judge."""

from typing import TYPE_CHECKING

import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.options import EvaluationOptions, JudgeOptions
from pu_diffusion_pipeline.metrics.registry import Record

if TYPE_CHECKING:
    from pu_diffusion_pipeline.metrics.fidelity import Features
    from pu_diffusion_pipeline.metrics.judge import Judge


def train_judge(
    judge_images: ImageSet,
    judge_index: pd.DataFrame,
    judge: JudgeOptions,
    normal_classes: tuple[int, ...],
    device: str,
) -> "Judge":
    """The judge, trained with true labels on images that are neither test nor held-out ones."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import train_judge

    classes = judge_index["class"].to_numpy()
    device = resolve_device(device)
    trained = train_judge(judge_images.images, classes, normal_classes, judge, device)
    trained.manifest["num_images"] = len(judge_images)
    return trained


def assess_judge(
    judge: "Judge",
    test_images: ImageSet,
    test_index: pd.DataFrame,
    heldout_images: ImageSet,
    heldout_index: pd.DataFrame,
    device: str,
) -> Record:
    """Accuracy and confusion of the judge on images it never saw."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import assess_judge

    test_classes = test_index["class"].to_numpy()
    heldout_classes = heldout_index["class"].to_numpy()
    device = resolve_device(device)
    return assess_judge(judge, test_images, test_classes, heldout_images, heldout_classes, device)


def extract_reference_features(
    test_images: ImageSet, judge: "Judge", evaluation: EvaluationOptions, device: str
) -> "Features":
    """Features of the real normal test images, which all methods are compared with."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.fidelity import features_of

    return features_of(test_images.images, judge, evaluation, resolve_device(device))
