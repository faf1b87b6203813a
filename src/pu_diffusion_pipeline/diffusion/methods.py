"""The training methods: all that is known about a method but its objective."""

from typing import NamedTuple


class Method(NamedTuple):
    """What the pipelines, the run's identity and the tables need to know about a method.

    Attributes:
        sets: the training sets its objective uses.
        uses_beta: whether beta changes its result.
        uses_gamma: whether objective.gamma does.
        is_default: whether it is part of `train`, `sample`, `evaluate`, `report` and the whole run.
        trains: false for the model that fine-tuning starts from, which is only sampled and
            evaluated.
        is_reference: trains on the ground truth about U, which no method may see: shown
            separately, never compared.
    """

    sets: tuple[str, ...] = ("unlabeled",)
    uses_beta: bool = False
    uses_gamma: bool = False
    is_default: bool = False
    trains: bool = True
    is_reference: bool = False


# In the order of the tables. `diffusion/objectives.py` has the objectives under the same names.
METHODS: dict[str, Method] = {
    "pretrained": Method(sets=(), trains=False),
    "unsupervised": Method(is_default=True),
    "supervised": Method(("unlabeled", "labeled_sensitive"), is_default=True),
    "pu": Method(("unlabeled", "labeled_sensitive"), uses_beta=True, is_default=True),
    "pnu": Method(
        ("unlabeled", "labeled_sensitive", "labeled_normal"), uses_beta=True, uses_gamma=True
    ),
    "oracle": Method(is_reference=True),
}
DEFAULT_METHODS = tuple(name for name, method in METHODS.items() if method.is_default)
