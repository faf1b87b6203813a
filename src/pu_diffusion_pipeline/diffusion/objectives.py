"""The objective of each method on per-image denoising errors: the methods differ here and nowhere else."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.parameters import METHODS
from pu_diffusion_pipeline.positive_unlabeled.risk import CORRECTIONS, empirical_risks, normal_risk, saturated_share


class Objective(Protocol):
    """What training minimises."""

    def __call__(self, denoising_error: Tensor, is_labeled_sensitive: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar to minimise and named risks to log.

        Args:
            denoising_error: (B,) float32, l(x) of Eq. 8.
            is_labeled_sensitive: (B,) bool, true for images of S, false for images of U.
        """
        ...


@dataclass(frozen=True)
class Unsupervised:
    """Eq. 9: the mean error over U."""

    def __call__(self, denoising_error: Tensor, is_labeled_sensitive: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        risks = empirical_risks(denoising_error, is_labeled_sensitive)
        return risks.unlabeled_negative, {"unlabeled_negative": risks.unlabeled_negative}


@dataclass(frozen=True)
class Supervised:
    """Eq. 12: U taken as normal, S as sensitive."""

    def __call__(self, denoising_error: Tensor, is_labeled_sensitive: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        risks = empirical_risks(denoising_error, is_labeled_sensitive)
        named = {**risks._asdict(), "saturated_share": saturated_share(denoising_error, is_labeled_sensitive)}
        return risks.unlabeled_negative + risks.sensitive_positive, named


@dataclass(frozen=True)
class PositiveUnlabeled:
    """Eq. 18-19 and Algorithm 1.

    Attributes:
        beta: share of sensitive images in U, in [0, 1).
        correction: one of `risk.CORRECTIONS`.
    """

    beta: float
    correction: str = "non_negative"

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise InvalidInput(f"beta must be in [0, 1), got {self.beta}")
        if self.correction not in CORRECTIONS:
            known = ", ".join(CORRECTIONS)
            raise InvalidInput(f"objective.correction must be one of {known}, got {self.correction!r}")

    def __call__(self, denoising_error: Tensor, is_labeled_sensitive: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        risks = empirical_risks(denoising_error, is_labeled_sensitive)
        normal = normal_risk(risks, self.beta)
        named = {
            **risks._asdict(),
            "normal": normal,
            "correction_active": (normal < 0).float(),
            "saturated_share": saturated_share(denoising_error, is_labeled_sensitive),
        }
        return CORRECTIONS[self.correction](risks, self.beta), named


def build_objective(method: str, beta: float | None, correction: str) -> Objective:
    """The objective of a method.

    Args:
        method: a name in `parameters.METHODS`.
        beta: for the methods that use it.
        correction: as in `PositiveUnlabeled`.
    """
    if method not in METHODS:
        raise InvalidInput(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if METHODS[method].uses_beta and beta is None:
        raise ValueError(f"method {method} needs beta")
    builders = {
        "unsupervised": lambda: Unsupervised(),
        "supervised": lambda: Supervised(),
        "pu": lambda: PositiveUnlabeled(beta, correction),
    }
    return builders[method]()
