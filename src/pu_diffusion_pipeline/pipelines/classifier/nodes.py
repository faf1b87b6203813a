"""Nodes of the judge."""

from typing import Any

import pandas as pd

from pu_diffusion_pipeline.identity import check_settings, environment, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import load_parameters


def train_judge(judge_images: ImageSet, judge_index: pd.DataFrame, parameters: dict[str, Any]) -> Any:
    """The judge, trained with true labels on images that are neither test nor held-out ones."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics import judge

    checked = load_parameters(parameters)
    check_settings(judge_images.manifest["settings"], settings(checked, "source"), "The judge's images")
    device = resolve_device(checked.compute.device)
    classes = judge_index["class"].to_numpy()
    trained = judge.train_judge(judge_images.images, classes, checked.data.normal_classes, checked.judge, device)
    trained.manifest.update(settings=settings(checked, "judge"), num_images=len(judge_images), **environment())
    return trained


def assess_judge(
    judge: Any,
    test_images: ImageSet,
    test_index: pd.DataFrame,
    heldout_images: ImageSet,
    heldout_index: pd.DataFrame,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """Accuracy and confusion of the judge on images it never saw."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import assess_judge

    device = resolve_device(load_parameters(parameters).compute.device)
    classes = [index["class"].to_numpy() for index in (test_index, heldout_index)]
    return assess_judge(judge, test_images, classes[0], heldout_images, classes[1], device)
