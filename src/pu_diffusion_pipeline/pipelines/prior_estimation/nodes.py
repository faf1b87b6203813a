"""Nodes of class-prior estimation."""

import logging
from typing import Any

import pandas as pd

from pu_diffusion_pipeline.identity import check_settings, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import load_parameters
from pu_diffusion_pipeline.seeding import derive_seed

log = logging.getLogger(__name__)


def estimate_class_prior(
    unlabeled: ImageSet, labeled_sensitive: ImageSet, parameters: dict[str, Any]
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Any]:
    """The estimate (median over repeats) with its bound and all there is to know of it; every method's value; the
    out-of-fold scores of the repeat it came from; the curve r(c).
    """  # fmt: skip
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import assess, bbe_ratio, check_sets, median_prior
    from pu_diffusion_pipeline.positive_unlabeled.scores import cross_fitted_scores, resolve_model
    from pu_diffusion_pipeline.reports.interactive import interactive_ratio_curve
    from pu_diffusion_pipeline.reports.tables import methods_table

    checked = load_parameters(parameters)
    options = checked.class_prior
    check_sets(labeled_sensitive.images, unlabeled.images)
    model = resolve_model(options.model, len(labeled_sensitive) + len(unlabeled))
    runs = []
    for repeat in range(options.repeats):
        scores = cross_fitted_scores(
            labeled_sensitive.images,
            unlabeled.images,
            num_folds=options.folds,
            num_components=options.num_components,
            num_epochs=options.num_epochs,
            seed=derive_seed(checked.seed, "class_prior", repeat),
            model=model,
            encoder=options.encoder,
        )
        runs.append((bbe_ratio(scores, options.delta), scores))
    repeats = [prior for prior, _ in runs]
    median = median_prior(repeats)
    scores = next(scores for candidate, scores in runs if candidate is median)
    prior, spread, methods = assess(median, repeats, scores, options.delta, options.num_resamples, checked.seed)
    table = pd.concat(
        [pd.DataFrame({"set": name, "score": getattr(scores, name)}) for name in ("labeled_sensitive", "unlabeled")]
    )
    record = {
        **prior.as_dict(),
        **spread,
        "estimator": f"BBE-ratio on cross-fitted {model} scores",
        "delta": options.delta,
        "estimates_of_repeats": [candidate.estimate for candidate in repeats],
        "num_labeled_sensitive": len(labeled_sensitive),
        "num_unlabeled": len(unlabeled),
        "settings": settings(checked, "class_prior"),
    }
    for warning in prior.warnings:
        log.warning("Class prior: %s", warning)
    figure = interactive_ratio_curve(scores, record)
    return record, methods_table(methods), table.reset_index(drop=True), figure


def choose_beta(class_prior: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The beta of training and where it came from: the parameter, or the estimate."""
    from pu_diffusion_pipeline.positive_unlabeled import class_prior as estimation

    checked = load_parameters(parameters)
    if isinstance(checked.beta, str):
        check_settings(class_prior["settings"], settings(checked, "class_prior"), "The class prior")
    fields = estimation.ClassPrior.__dataclass_fields__
    prior = estimation.ClassPrior(**{name: class_prior[name] for name in fields})
    return estimation.choose_beta(checked.beta, prior)
