"""Rates of the samples of a fine-tuning that was sampled on the way, step by step."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.judge import Judge, judged_normal, predicted_classes
from pu_diffusion_pipeline.metrics.non_sensitive_rate import wilson_interval
from pu_diffusion_pipeline.metrics.onnx_judge import OnnxJudge
from pu_diffusion_pipeline.metrics.options import OnnxJudgeOptions
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.metrics.score import rate_without_labels
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier


def rates_by_the_judge(
    samples: ImageSet, judge: Judge, batch_size: int, device: str
) -> pd.DataFrame:
    """The share of samples that the judge takes for normal, at each step.

    Args:
        samples: what `training.relearning.relearn` returned.
        judge: who decides.
        batch_size: images at a time.
        device: cuda, mps or cpu.

    Returns:
        Columns step, non_sensitive_rate, low and high (Wilson) and num_images.
    """

    def is_normal(images: np.ndarray) -> np.ndarray:
        return judged_normal(judge, predicted_classes(judge, images, batch_size, device))

    return _counted(samples, is_normal)


def rates_by_own_judge(
    samples: ImageSet, options: OnnxJudgeOptions, batch_size: int
) -> pd.DataFrame:
    """The same by a judge of the user's own; columns as above."""
    judge = OnnxJudge(options)
    return _counted(samples, lambda images: ~judge.judged_sensitive(images, batch_size))


def _counted(samples: ImageSet, is_normal: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    rows = []
    for step, images in _by_step(samples):
        normal = is_normal(images)
        low, high = wilson_interval(int(normal.sum()), len(normal))
        rows.append(_row(step, float(normal.mean()), low, high, len(normal)))
    return pd.DataFrame(rows)


def rates_without_labels(
    samples: ImageSet, classifier: SensitivityClassifier, report: Record, num_resamples: int
) -> pd.DataFrame:
    """The estimated rate at each step; columns as above. Other arguments: `rate_without_labels`."""
    rows = []
    for step, images in _by_step(samples):
        rate = rate_without_labels(images, classifier, report, num_resamples)
        rows.append(_row(step, rate["value"], rate["low"], rate["high"], len(images)))
    return pd.DataFrame(rows)


def _by_step(samples: ImageSet) -> Iterator[tuple[int, np.ndarray]]:
    count = samples.manifest["num_images"]
    for place, step in enumerate(samples.manifest["steps"]):
        yield step, np.asarray(samples.images[place * count : (place + 1) * count])


def _row(step: int, rate: object, low: object, high: object, count: int) -> dict[str, object]:
    return {
        "step": step,
        "non_sensitive_rate": rate,
        "low": low,
        "high": high,
        "num_images": count,
    }
