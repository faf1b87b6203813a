"""Nodes of evaluation."""

import logging
from typing import TYPE_CHECKING, Any

import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.options import EvaluationOptions, JudgeOptions

if TYPE_CHECKING:
    from pu_diffusion_pipeline.metrics.fidelity import Features
    from pu_diffusion_pipeline.metrics.judge import Judge
    from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier

log = logging.getLogger(__name__)


def judge_samples(
    samples: ImageSet,
    judge: "Judge",
    judge_options: JudgeOptions,
    evaluation: EvaluationOptions,
    device: str,
) -> pd.DataFrame:
    """Ask the judge for the class of each sample, and note whether it is a sensitive one.

    Of a judge of the user's own: whether that one takes it for sensitive.
    """
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes
    from pu_diffusion_pipeline.metrics.onnx_judge import OnnxJudge

    device = resolve_device(device)
    classes = predicted_classes(judge, samples.images, evaluation.batch_size, device)
    sensitive = ~judged_normal(judge, classes)
    if judge_options.onnx is not None:
        own = OnnxJudge(judge_options.onnx)
        sensitive = own.judged_sensitive(samples.images, evaluation.batch_size)
    return pd.DataFrame({"predicted_class": classes, "judged_sensitive": sensitive})


def judge_samples_by_sensitivity(
    samples: ImageSet,
    sensitivity: "SensitivityClassifier",
    judge_options: JudgeOptions,
    evaluation: EvaluationOptions,
) -> pd.DataFrame:
    """Give each sample its probability of being sensitive; no labels are there for a judge.

    By the classifier above 1/2; by a judge of the user's own above its threshold.
    """
    from pu_diffusion_pipeline.metrics.onnx_judge import OnnxJudge

    if judge_options.onnx is not None:
        probability = OnnxJudge(judge_options.onnx).probabilities(
            samples.images, evaluation.batch_size
        )
        sensitive = probability > judge_options.onnx.threshold
        return pd.DataFrame({"probability": probability, "judged_sensitive": sensitive})
    probability = sensitivity.probabilities(samples.images)
    return pd.DataFrame({"probability": probability, "judged_sensitive": probability > 0.5})


def extract_sample_features(
    samples: ImageSet, judge: "Judge", evaluation: EvaluationOptions, device: str
) -> "Features":
    """Compute the samples' features, which the distances compare with those of real images."""
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
    """Measure the samples: their rate, their distances, and what these were measured by and on."""
    from pu_diffusion_pipeline.metrics.score import score

    measured = score(
        judgements, samples.conditions, features, reference_features, judge_report, evaluation
    )
    return _record(samples, measured)


def score_samples_by_sensitivity(
    samples: ImageSet,
    judgements: pd.DataFrame,
    features: "Features",
    reference_features: "Features",
    evaluation: EvaluationOptions,
    judge_options: JudgeOptions,
    **estimated_by: Any,
) -> dict[str, object]:
    """Measure the samples where no labels are; the non-sensitive rate is an estimate.

    `estimated_by`: `sensitivity`, `sensitivity_report` and `num_resamples`.
    """
    from pu_diffusion_pipeline.metrics.onnx_judge import OnnxJudge, rate_without_accuracy
    from pu_diffusion_pipeline.metrics.score import rate_without_labels, score_without_labels

    if judge_options.onnx is not None:
        rate = rate_without_accuracy(judgements, OnnxJudge(judge_options.onnx))
    else:
        rate = rate_without_labels(samples.images, **estimated_by)
    measured = score_without_labels(rate, judgements, features, reference_features, evaluation)
    return _record(samples, measured)


def _record(samples: ImageSet, measured: dict[str, object]) -> dict[str, object]:
    """What was measured, with the training of the samples; its main metrics go to the log."""
    from pu_diffusion_pipeline.reports.tables import result_line

    training = samples.manifest["training"]
    record = {"method": training["method"], **measured, "training": training}
    log.info(result_line(record))
    return record
