"""The methods: all that is known about a method but its objective.

A method trains a model on U and other sets, or draws from models of other methods in a way of its
own.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Method(NamedTuple):
    """What the pipelines, the run's identity and the tables need to know about a method.

    Attributes:
        sets: the training sets its objective uses.
        unlabeled: the data set that is its U.
        beta: the data set that holds the share of sensitive images in it; None: not used.
        uses_gamma: whether objective.gamma changes its result.
        weighs: whether its objective weighs the images of U by their probability of being
            sensitive (`unlabeled_probabilities`).
        sections: of parameters.yml that change its result, besides those that all methods share.
        draws_from: methods whose models it samples, the main one first; it trains none itself.
        is_default: whether it is part of `train`, `sample`, `evaluate`, `report` and the whole run.
        trains: whether it has a model of its own. The model that fine-tuning starts from is only
            sampled and evaluated.
        is_reference: trains on the ground truth about U, which no method may see: shown
            separately, never compared.
    """

    sets: tuple[str, ...] = ("unlabeled",)
    unlabeled: str = "unlabeled_images"
    beta: str | None = None
    uses_gamma: bool = False
    weighs: bool = False
    sections: tuple[str, ...] = ()
    draws_from: tuple[str, ...] = ()
    is_default: bool = False
    trains: bool = True
    is_reference: bool = False

    @property
    def uses_mixing(self) -> bool:
        """Whether objective.mixing changes its result."""
        return self.weighs and self.beta is not None

    @property
    def uses_beta(self) -> bool:
        """Whether the parameter beta changes its result."""
        return self.beta == "beta"


SENSITIVITY = ("sensitivity", "class_prior")
LABELED = ("unlabeled", "labeled_sensitive")


def _drawn(*models: str, beta: str | None = None, sections: tuple[str, ...]) -> Method:
    return Method(sets=(), beta=beta, sections=sections, draws_from=models, trains=False)


# In the order of the tables. `diffusion/objectives.py` has the objectives under the same names.
METHODS: dict[str, Method] = {
    "pretrained": Method(sets=(), trains=False),
    "unsupervised": Method(is_default=True),
    "supervised": Method(LABELED, is_default=True),
    "pu": Method(LABELED, beta="beta", is_default=True),
    "pnu": Method((*LABELED, "labeled_normal"), beta="beta", uses_gamma=True),
    "clean": Method(unlabeled="cleaned_images", sections=("cleaning", *SENSITIVITY)),
    "pu_clean": Method(
        LABELED, "cleaned_images", "cleaned_beta", sections=("cleaning", *SENSITIVITY)
    ),
    "weighted": Method(weighs=True, sections=SENSITIVITY),
    "pu_weighted": Method(LABELED, beta="beta", weighs=True, sections=SENSITIVITY),
    "pu_guided": _drawn("pu", "unsupervised", beta="beta", sections=("guiding",)),
    "pu_filtered": _drawn("pu", beta="beta", sections=("filtering", *SENSITIVITY)),
    "pu_clean_filtered": _drawn("pu_clean", sections=("cleaning", "filtering", *SENSITIVITY)),
    "oracle": Method(unlabeled="oracle_images", is_reference=True),
}


def models_of(methods: Iterable[str]) -> list[str]:
    """The methods whose models these methods sample."""
    models = [
        model
        for name in methods
        for model in METHODS[name].draws_from or (name,)
        if METHODS[model].trains
    ]
    return list(dict.fromkeys(models))


DEFAULT_METHODS = tuple(name for name, method in METHODS.items() if method.is_default)
# What the README recommends where labels judge the result, beside what it is compared with.
RECOMMENDED = ("unsupervised", "pu", "pu_clean_filtered")
# The methods that the frontier compares: all that work on every benchmark.
FRONTIER = tuple(
    name
    for name, method in METHODS.items()
    if name not in ("pretrained", "supervised") and "labeled_normal" not in method.sets
)
