"""The training methods: what everything but their objective needs to know of them."""

from typing import NamedTuple


class Method(NamedTuple):
    """What the DAG, the run identity and the tables need to know of a method.

    Attributes:
        sets: the training sets its objective looks at.
        uses_beta: whether beta makes a difference to it.
        uses_gamma: whether objective.gamma does.
        is_default: whether it is part of `train`, `sample`, `evaluate`, `report` and of the whole run.
        trains: false for the model that fine-tuning starts from, which is only sampled and evaluated.
        is_reference: sees what no method may see (the ground truth about U): shown apart, never compared.
    """

    sets: tuple[str, ...] = ("unlabeled",)
    uses_beta: bool = False
    uses_gamma: bool = False
    is_default: bool = False
    trains: bool = True
    is_reference: bool = False


# The methods, in the order of the tables. Objectives are in `diffusion/objectives.py`, under the same names.
METHODS: dict[str, Method] = {
    "pretrained": Method(sets=(), trains=False),
    "unsupervised": Method(is_default=True),
    "supervised": Method(("unlabeled", "labeled_sensitive"), is_default=True),
    "pu": Method(("unlabeled", "labeled_sensitive"), uses_beta=True, is_default=True),
    "pnu": Method(("unlabeled", "labeled_sensitive", "labeled_normal"), uses_beta=True, uses_gamma=True),
    "oracle": Method(is_reference=True),
}
DEFAULT_METHODS = tuple(name for name, method in METHODS.items() if method.is_default)
