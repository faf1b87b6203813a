"""Nodes of evaluation."""

from typing import Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.identity import check_settings, environment, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import Parameters, load_parameters


def extract_reference_features(test_images: ImageSet, judge: Any, saved: Any, parameters: dict[str, Any]) -> Any:
    """Features of the real normal test images; those that are `saved`, if these images and this extractor made them."""
    checked = load_parameters(parameters)
    check_settings(test_images.manifest["settings"], settings(checked, "source"), "The test images")
    return _features(test_images, judge, checked, saved)


def judge_samples(samples: ImageSet, judge: Any, parameters: dict[str, Any]) -> pd.DataFrame:
    """A row per sample: the class the judge gives it and whether that is a sensitive one."""
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes

    checked, method = load_parameters(parameters), samples.manifest["training"]["method"]
    check_settings(samples.manifest["settings"], settings(checked, "samples", method), f"The {method} samples")
    check_settings(judge.manifest["settings"], settings(checked, "judge"), "The judge")
    device = resolve_device(checked.compute.device)
    classes = predicted_classes(judge, samples.images, checked.evaluation.batch_size, device)
    return pd.DataFrame({"predicted_class": classes, "judged_sensitive": ~judged_normal(judge, classes)})


def extract_sample_features(samples: ImageSet, judge: Any, parameters: dict[str, Any]) -> Any:
    """Features of the samples."""
    return _features(samples, judge, load_parameters(parameters))


def score_samples(
    samples: ImageSet,
    judgements: pd.DataFrame,
    features: Any,
    reference_features: Any,
    judge_report: dict[str, Any],
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """Every metric of the samples, with what it was measured by and on."""
    from pu_diffusion_pipeline.metrics.fidelity import distances
    from pu_diffusion_pipeline.metrics.non_sensitive_rate import non_sensitive_rate

    checked, method = load_parameters(parameters), samples.manifest["training"]["method"]
    options = checked.evaluation
    num_normal = int((~judgements["judged_sensitive"]).sum())
    return {
        "method": method,
        "non_sensitive_rate": non_sensitive_rate(num_normal, len(judgements), judge_report),
        "per_condition": _per_condition(samples.conditions, judgements, judge_report),
        "fidelity": distances(
            features,
            reference_features,
            kid_subsets=options.kid_subsets,
            kid_subset_size=options.kid_subset_size,
            neighborhood=options.neighborhood,
        ),
        "settings": settings(checked, "metrics", method),
        "training": samples.manifest["training"],
        **environment(),
    }


def _per_condition(
    conditions: np.ndarray | None, judgements: pd.DataFrame, judge_report: dict[str, Any]
) -> dict[str, Any] | None:
    """The rate among the samples that were asked to show each class (Eq. 20); None for unconditional sampling."""
    from pu_diffusion_pipeline.metrics.non_sensitive_rate import non_sensitive_rate

    if conditions is None:
        return None
    normal = ~judgements["judged_sensitive"].to_numpy()
    found = {}
    for condition in np.unique(conditions):
        here = conditions == condition
        rate = non_sensitive_rate(int(normal[here].sum()), int(here.sum()), judge_report)
        as_asked = float((judgements["predicted_class"].to_numpy()[here] == condition).mean())
        found[str(condition)] = {**{k: v for k, v in rate.items() if k != "judge"}, "as_asked": as_asked}
    return found


def _features(images: ImageSet, judge: Any, checked: Parameters, saved: Any = None) -> Any:
    from pu_diffusion_pipeline.diffusion.compute import resolve_device
    from pu_diffusion_pipeline.metrics.fidelity import build_extractor, extract_features

    options = checked.evaluation
    extractor = build_extractor(options.features, judge, options.inception_weights)
    return extract_features(images.images, extractor, options.batch_size, resolve_device(checked.compute.device), saved)
