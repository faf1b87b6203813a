"""Nodes of the relearning check."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.options import EvaluationOptions, JudgeOptions
from pu_diffusion_pipeline.metrics.registry import Record

if TYPE_CHECKING:
    from diffusers import DDPMPipeline

    from pu_diffusion_pipeline.metrics.judge import Judge
    from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier


def relearn(model: "DDPMPipeline", unlabeled: ImageSet, **settings: Any) -> ImageSet:
    """Fine-tune the finished model on U as an attacker would, and sample it on the way.

    `settings`: as `training.relearning.relearn` takes them.
    """
    from pu_diffusion_pipeline.training.relearning import relearn

    return relearn(model, unlabeled, **settings)


def judge_relearning(
    samples: ImageSet,
    judge: "Judge",
    judge_options: JudgeOptions,
    evaluation: EvaluationOptions,
    device: str,
) -> pd.DataFrame:
    """Measure how many samples the judge takes for normal as the fine-tuning goes on.

    By a judge of the user's own, where there is one.
    """
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.relearning import rates_by_own_judge, rates_by_the_judge

    if judge_options.onnx is not None:
        return rates_by_own_judge(samples, judge_options.onnx, evaluation.batch_size)
    return rates_by_the_judge(samples, judge, evaluation.batch_size, resolve_device(device))


def judge_relearning_by_sensitivity(
    samples: ImageSet,
    sensitivity: "SensitivityClassifier",
    sensitivity_report: Record,
    judge_options: JudgeOptions,
    evaluation: EvaluationOptions,
    num_resamples: int,
) -> pd.DataFrame:
    """Estimate how many samples are normal as the fine-tuning goes on; no labels are there."""
    from pu_diffusion_pipeline.metrics.relearning import rates_by_own_judge, rates_without_labels

    if judge_options.onnx is not None:
        return rates_by_own_judge(samples, judge_options.onnx, evaluation.batch_size)
    return rates_without_labels(samples, sensitivity, sensitivity_report, num_resamples)


def record_relearning(relearning: pd.DataFrame) -> Record:
    """Keep the non-sensitive rate at the end of the fine-tuning, with its interval."""
    last = relearning.iloc[-1]
    return {
        "step": int(last["step"]),
        **{name: float(last[name]) for name in ("non_sensitive_rate", "low", "high")},
    }


def render_relearning(
    relearning: pd.DataFrame, unsupervised_metrics: Record, benchmark: str
) -> str:
    """Write the page that shows how fast sensitive images come back."""
    from pu_diffusion_pipeline.reports.relearning import render_relearning

    return render_relearning(benchmark, relearning, unsupervised_metrics)
