"""Nodes of class-prior estimation."""

from typing import Any

import pandas as pd

from pu_diffusion_pipeline.identity import check_settings, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import load_parameters
from pu_diffusion_pipeline.seeding import derive_seed


def estimate_class_prior(
    unlabeled: ImageSet, labeled_sensitive: ImageSet, parameters: dict[str, Any]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The estimate (median over repeats) with its bound, and the out-of-fold scores of the repeat it came from."""
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import bbe_ratio, median_prior
    from pu_diffusion_pipeline.positive_unlabeled.scores import cross_fitted_scores

    checked = load_parameters(parameters)
    options = checked.class_prior
    runs = []
    for repeat in range(options.repeats):
        scores = cross_fitted_scores(
            labeled_sensitive.images,
            unlabeled.images,
            num_folds=options.folds,
            num_components=options.num_components,
            num_epochs=options.num_epochs,
            seed=derive_seed(checked.seed, "class_prior", repeat),
        )
        runs.append((bbe_ratio(scores, options.delta), scores))
    prior = median_prior([prior for prior, _ in runs])
    scores = next(scores for candidate, scores in runs if candidate is prior)
    table = pd.concat(
        [pd.DataFrame({"set": name, "score": getattr(scores, name)}) for name in ("labeled_sensitive", "unlabeled")]
    )
    record = {
        **prior.as_dict(),
        "estimator": "BBE-ratio on cross-fitted MLP scores",
        "delta": options.delta,
        "estimates_of_repeats": [candidate.estimate for candidate, _ in runs],
        "num_labeled_sensitive": len(labeled_sensitive),
        "num_unlabeled": len(unlabeled),
        "settings": settings(checked, "class_prior"),
    }
    return record, table.reset_index(drop=True)


def choose_beta(class_prior: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The beta of training and where it came from: the parameter, or the estimate."""
    from pu_diffusion_pipeline.positive_unlabeled import class_prior as estimation

    checked = load_parameters(parameters)
    if checked.beta == "estimated":
        check_settings(class_prior["settings"], settings(checked, "class_prior"), "The class prior")
    fields = estimation.ClassPrior.__dataclass_fields__
    prior = estimation.ClassPrior(**{name: class_prior[name] for name in fields})
    return estimation.choose_beta(checked.beta, prior)
