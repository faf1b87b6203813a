"""Nodes of evaluation."""

from typing import TYPE_CHECKING

import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.options import EvaluationOptions

if TYPE_CHECKING:
    from pu_diffusion_pipeline.metrics.fidelity import Features
    from pu_diffusion_pipeline.metrics.judge import Judge


def judge_samples(
    samples: ImageSet, judge: "Judge", evaluation: EvaluationOptions, device: str
) -> pd.DataFrame:
    """A row per sample: the class the judge gives it and whether that is a sensitive one."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes

    device = resolve_device(device)
    classes = predicted_classes(judge, samples.images, evaluation.batch_size, device)
    sensitive = ~judged_normal(judge, classes)
    return pd.DataFrame({"predicted_class": classes, "judged_sensitive": sensitive})


def extract_sample_features(
    samples: ImageSet, judge: "Judge", evaluation: EvaluationOptions, device: str
) -> "Features":
    """Features of the samples."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.fidelity import features_of

    return features_of(samples.images, judge, evaluation, resolve_device(device))


def score_samples(
    samples: ImageSet,
    judgements: pd.DataFrame,
    features: "Features",
    reference_features: "Features",
    judge_report: dict[str, object],
    evaluation: EvaluationOptions,
) -> dict[str, object]:
    """Every metric of the samples, with what it was measured by and on."""
    from pu_diffusion_pipeline.metrics.score import score

    training = samples.manifest["training"]
    measured = score(
        judgements, samples.conditions, features, reference_features, judge_report, evaluation
    )
    return {"method": training["method"], **measured, "training": training}
