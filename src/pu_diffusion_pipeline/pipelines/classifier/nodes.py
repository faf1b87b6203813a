"""Nodes of the judge."""

from typing import TYPE_CHECKING

import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.options import EvaluationOptions, JudgeOptions
from pu_diffusion_pipeline.metrics.registry import Record

if TYPE_CHECKING:
    from pu_diffusion_pipeline.metrics.fidelity import Features
    from pu_diffusion_pipeline.metrics.judge import Judge
    from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier


def train_judge(
    judge_images: ImageSet,
    judge_index: pd.DataFrame,
    judge: JudgeOptions,
    normal_classes: tuple[int, ...],
    device: str,
) -> "Judge":
    """Train the judge with true labels, on images that are in no other set."""
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
    judge_options: JudgeOptions,
    device: str,
) -> Record:
    """Count what the judge gets right and wrong on images it never saw."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import assess_judge
    from pu_diffusion_pipeline.metrics.onnx_judge import OnnxJudge, assess_onnx_judge

    if judge_options.onnx is not None:
        own = OnnxJudge(judge_options.onnx)
        sets = (test_images.images, heldout_images.images)
        return assess_onnx_judge(own, *sets, judge_options.batch_size)
    test_classes = test_index["class"].to_numpy()
    heldout_classes = heldout_index["class"].to_numpy()
    device = resolve_device(device)
    return assess_judge(judge, test_images, test_classes, heldout_images, heldout_classes, device)


def extract_probably_normal_features(
    test_images: ImageSet,
    test_index: pd.DataFrame,
    judge: "Judge",
    sensitivity: "SensitivityClassifier",
    evaluation: EvaluationOptions,
    device: str,
) -> "Features":
    """Compute features of the test images that are probably normal; no labels say which are."""
    if (test_index["role"] == "unlabeled").any():
        test_images = test_images.select(sensitivity.probabilities(test_images.images) < 0.5)
    needed = max(evaluation.kid_subset_size, evaluation.neighborhood + 1)
    if len(test_images) < needed:
        raise InvalidInput(
            f"{len(test_images)} images to compare with are probably normal, at least {needed} are "
            "needed: put fine images into test/, or lower evaluation.kid_subset_size"
        )
    return extract_reference_features(test_images, judge, evaluation, device)


def extract_reference_features(
    test_images: ImageSet, judge: "Judge", evaluation: EvaluationOptions, device: str
) -> "Features":
    """Compute features of the real normal test images, which all samples are compared with."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.fidelity import features_of

    needed = max(evaluation.kid_subset_size, evaluation.neighborhood + 1)
    if len(test_images) < needed:
        raise InvalidInput(
            f"{len(test_images)} normal images to compare with, at least {needed} are needed: put "
            "more into test/, or lower evaluation.kid_subset_size and evaluation.neighborhood"
        )
    return features_of(test_images.images, judge, evaluation, resolve_device(device))
