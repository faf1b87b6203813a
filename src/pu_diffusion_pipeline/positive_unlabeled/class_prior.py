"""The share beta of sensitive images in U: estimate it, say how far to trust it, choose beta."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.options import in_section
from pu_diffusion_pipeline.positive_unlabeled.best_bin import (
    SMALLEST,
    ClassPrior,
    estimate_class_prior,
    median_prior,
)
from pu_diffusion_pipeline.positive_unlabeled.estimators import (
    ESTIMATORS,
    LARGEST,
    estimate_with_all,
)
from pu_diffusion_pipeline.positive_unlabeled.options import ClassPriorOptions
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, resampled_estimates
from pu_diffusion_pipeline.seeding import derive_seed, numpy_generator

LARGEST_DISAGREEMENT = 0.05  # between estimators on the same scores


class ChosenBeta(TypedDict):
    """The beta of training and where it came from."""

    value: float
    source: str


class Assessment(NamedTuple):
    """How far to trust an estimate.

    Attributes:
        prior: the estimate with all its warnings.
        spread: `sampling_variability` (percentiles 2.5 and 97.5 of a bootstrap without refits; no
            confidence interval, since it leaves out the bias of the fit), `spread_of_repeats` and
            `spread_of_methods`, each [low, high], or None if there is no estimate.
        methods: the value of every estimator on the same scores.
    """

    prior: ClassPrior
    spread: dict[str, list[float] | None]
    methods: dict[str, float]


@dataclass(frozen=True)
class Estimation:
    """What `estimate` found.

    Attributes:
        record: the estimate, its bound, warnings and spread, for JSON.
        methods: the value of every estimator on the same scores.
        scores: out-of-fold scores of the repeat that the estimate comes from.
    """

    record: dict[str, Any]
    methods: dict[str, float]
    scores: Scores

    def scores_table(self) -> pd.DataFrame:
        """A row per image of S, then of U: set, score."""
        parts = [
            pd.DataFrame({"set": name, "score": scores})
            for name, scores in self.scores._asdict().items()
        ]
        return pd.concat(parts).reset_index(drop=True)


@in_section("class_prior", ClassPriorOptions)
def estimate(
    labeled_sensitive: np.ndarray, unlabeled: np.ndarray, options: ClassPriorOptions, seed: int
) -> Estimation:
    """Estimate beta from images: the median over repeated fits, and how far to trust it.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8.
        options: model, folds, repeats, bound.
        seed: the run's seed.

    Raises:
        InvalidInput: S is part of U, an encoder that cannot be used, scores that are not finite.
    """
    from pu_diffusion_pipeline.positive_unlabeled.scores import resolve_model

    check_sets(labeled_sensitive, unlabeled)
    model = resolve_model(options.model, len(labeled_sensitive) + len(unlabeled))
    fits = [
        _fit(labeled_sensitive, unlabeled, options, model, derive_seed(seed, "class_prior", repeat))
        for repeat in range(options.repeats)
    ]
    repeats = [prior for prior, _ in fits]
    median = median_prior(repeats)
    scores = next(scores for prior, scores in fits if prior is median)
    assessment = assess_reliability(
        median, repeats, scores, options.delta, options.num_resamples, seed
    )
    record = {
        **assessment.prior.as_dict(),
        **assessment.spread,
        "estimator": f"BBE-ratio on cross-fitted {model} scores",
        "delta": options.delta,
        "estimates_of_repeats": [prior.estimate for prior in repeats],
        "num_labeled_sensitive": len(labeled_sensitive),
        "num_unlabeled": len(unlabeled),
    }
    return Estimation(record, assessment.methods, scores)


def assess_reliability(
    prior: ClassPrior,
    repeats: Sequence[ClassPrior],
    scores: Scores,
    delta: float,
    num_resamples: int,
    seed: int,
) -> Assessment:
    """Say how far to trust an estimate: over resamples, repeats and other estimators.

    Args:
        prior: the estimate, one of `repeats`.
        repeats: the estimate of every repetition of the fit.
        scores: the scores that `prior` comes from.
        delta: as in `estimate_class_prior`.
        num_resamples: number of bootstrap samples.
        seed: of the bootstrap.
    """
    if prior.estimate is None:
        names = ("sampling_variability", "spread_of_repeats", "spread_of_methods")
        return Assessment(prior, dict.fromkeys(names), {})
    methods = estimate_with_all(scores, delta)
    rng = numpy_generator(seed, "class_prior_bootstrap")
    resampled = resampled_estimates(scores, delta, num_resamples, rng)
    estimates = [one.estimate for one in repeats if one.estimate is not None]
    low, high = _spread_of_methods(methods)
    spread: dict[str, list[float] | None] = {
        "sampling_variability": [_percentile(resampled, level) for level in (2.5, 97.5)],
        "spread_of_repeats": [min(estimates), max(estimates)],
        "spread_of_methods": [low, high],
    }
    warnings = prior.warnings
    if high - low > LARGEST_DISAGREEMENT:
        warnings += (f"methods disagree: from {low:.3f} to {high:.3f} on the same scores",)
    return Assessment(replace(prior, warnings=warnings), spread, methods)


def check_sets(labeled_sensitive: np.ndarray, unlabeled: np.ndarray) -> None:
    """Refuse sets that hold the same images.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8.

    Raises:
        InvalidInput: most of S is in U too. S and U must be drawn separately.
    """
    known = {hash(image.tobytes()) for image in labeled_sensitive}
    copies = sum(hash(image.tobytes()) in known for image in unlabeled)
    if copies > len(labeled_sensitive) / 2:
        raise InvalidInput(
            f"class prior: {copies} images of U are copies of images in S "
            f"({len(labeled_sensitive)}); S must be a sample of its own, not a part of U"
        )


def choose_beta(beta: float | str, prior_record: Mapping[str, Any] | None = None) -> ChosenBeta:
    """The beta that training uses and where it came from.

    Args:
        beta: a number, `estimated`, or `upper` for the bound.
        prior_record: `Estimation.record`; a number needs none.

    Raises:
        InvalidInput: the estimate was asked for and there is none that can be used.
    """
    if beta not in ("estimated", "upper"):
        return {"value": float(beta), "source": "parameter"}
    if prior_record is None:
        raise InvalidInput(f"beta: {beta}, but there is no estimate. Give a number.")
    prior = ClassPrior.from_record(prior_record)
    value = _usable_estimate(beta, prior)
    if beta == "upper":
        source = "class prior, upper bound of BBE-ratio"
        return {"value": min(prior.upper, LARGEST), "source": source}
    return {"value": value, "source": "class prior, BBE-ratio (if irreducible)"}


def _usable_estimate(beta: float | str, prior: ClassPrior) -> float:
    if prior.estimate is None:
        reason = "; ".join(prior.warnings)
        raise InvalidInput(f"beta: {beta}, but there is no estimate ({reason}). Give a number.")
    if not math.isfinite(prior.estimate) or not math.isfinite(prior.upper):
        raise InvalidInput(
            f"beta: {beta}, but the estimate is {prior.estimate} and its bound {prior.upper}: the "
            "class prior's record is damaged. Estimate it anew, or give a number."
        )
    if prior.estimate < SMALLEST:
        raise InvalidInput(
            f"beta: {beta}, but the estimate is {prior.estimate:.4f}: S seems to have nothing in "
            "common with U, and training would be unsupervised. Check S, or give a number."
        )
    if prior.estimate >= LARGEST:
        raise InvalidInput(
            f"beta: {beta}, but U looks like S throughout (estimate {prior.estimate:.2f}, "
            f"AUC {prior.auc:.2f}): it may be a copy of S, or the score cannot tell them apart. "
            "Check S, or give a number."
        )
    return prior.estimate


def _fit(
    labeled_sensitive: np.ndarray,
    unlabeled: np.ndarray,
    options: ClassPriorOptions,
    model: str,
    seed: int,
) -> tuple[ClassPrior, Scores]:
    from pu_diffusion_pipeline.positive_unlabeled.scores import cross_fitted_scores

    scores = cross_fitted_scores(
        labeled_sensitive,
        unlabeled,
        num_folds=options.folds,
        num_components=options.num_components,
        num_epochs=options.num_epochs,
        seed=seed,
        model=model,
        encoder=options.encoder,
    )
    return estimate_class_prior(scores, options.delta), scores


def _spread_of_methods(methods: dict[str, float]) -> tuple[float, float]:
    """Smallest and largest value, without the baselines and those that have none."""
    counted = [
        value
        for name, value in methods.items()
        if not ESTIMATORS[name].is_baseline and np.isfinite(value)
    ]
    return min(counted), max(counted)


def _percentile(values: np.ndarray, level: float) -> float:
    return float(np.clip(np.percentile(values, level), 0, 1))
