"""The objective of each method on per-image denoising errors.

The methods differ here and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.risk import (
    CORRECTIONS,
    Risks,
    empirical_risks,
    labeled_normal_risk,
    normal_risk,
    positive_negative_unlabeled,
    saturated_share,
    weighted_risks,
)


class Objective(Protocol):
    """What training minimises."""

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar to minimise and named risks to log.

        Args:
            denoising_error: (B,) float32, l(x) of Eq. 8.
            labels: (B,) int64, the set each image comes from: U, S or N
                (`positive_unlabeled.labels.SETS`).
            probabilities: (B,) float32, of being sensitive; given where the method weighs U.
        """
        ...


@dataclass(frozen=True)
class Unsupervised:
    """Eq. 9: the mean error over U."""

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        risks = empirical_risks(denoising_error, labels)
        return risks.unlabeled_negative, {"unlabeled_negative": risks.unlabeled_negative}


@dataclass(frozen=True)
class Supervised:
    """Eq. 12: U taken as normal, S as sensitive."""

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        risks = empirical_risks(denoising_error, labels)
        named = {**risks._asdict(), "saturated_share": saturated_share(denoising_error, labels)}
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
            raise InvalidInput(f"correction must be one of {known}, got {self.correction!r}")

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        loss, named = self.of_risks(empirical_risks(denoising_error, labels))
        return loss, {**named, "saturated_share": saturated_share(denoising_error, labels)}

    def of_risks(self, risks: Risks) -> tuple[Tensor, dict[str, Tensor]]:
        """As `Objective`, of risks."""
        normal = normal_risk(risks, self.beta)
        active = (normal < 0).float()
        named = {**risks._asdict(), "normal": normal, "correction_active": active}
        return CORRECTIONS[self.correction](risks, self.beta), named


@dataclass(frozen=True)
class PositiveNegativeUnlabeled:
    """PNU: labeled normal images as well (paper, Sec. 1; Sakai et al. 2017).

    Attributes:
        positive_unlabeled: the PU part.
        gamma: weight of the part with labeled normal images, in [0, 1]; 0 is PU.
    """

    positive_unlabeled: PositiveUnlabeled
    gamma: float

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise InvalidInput(f"gamma must be in [0, 1], got {self.gamma}")

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        beta = self.positive_unlabeled.beta
        correction = self.positive_unlabeled.correction
        _, named = self.positive_unlabeled(denoising_error, labels)
        risks = empirical_risks(denoising_error, labels)
        labeled_normal = labeled_normal_risk(denoising_error, labels)
        loss = positive_negative_unlabeled(risks, labeled_normal, beta, self.gamma, correction)
        return loss, {**named, "labeled_normal_negative": labeled_normal}


@dataclass(frozen=True)
class Weighted:
    """E_U[(1 - r) l] with r = P(sensitive | x): each image of U counts as far as it is normal.

    That is (1 - beta) E_N[l], if r is right (re-weighting; `risk.weighted_risks`).
    """

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`; the probabilities are needed."""
        risks = weighted_risks(denoising_error, labels, _given(probabilities), mixing=0.0)
        return risks.unlabeled_negative, {"unlabeled_negative": risks.unlabeled_negative}


@dataclass(frozen=True)
class WeightedPositiveUnlabeled:
    """Between re-weighting and PU: `risk.weighted_risks` with PU's correction.

    Attributes:
        positive_unlabeled: beta and the correction.
        mixing: 0 is `Weighted`, 1 is PU.
    """

    positive_unlabeled: PositiveUnlabeled
    mixing: float

    def __call__(
        self, denoising_error: Tensor, labels: Tensor, probabilities: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`; the probabilities are needed."""
        risks = weighted_risks(denoising_error, labels, _given(probabilities), self.mixing)
        loss, named = self.positive_unlabeled.of_risks(risks)
        plain = empirical_risks(denoising_error, labels)._asdict()  # as other methods log them
        saturated = saturated_share(denoising_error, labels)
        return loss, {**named, **plain, "saturated_share": saturated}


def _given(probabilities: Tensor | None) -> Tensor:
    if probabilities is None:
        raise ValueError("this objective needs the probability of each image of being sensitive")
    return probabilities


def build_objective(
    method: str,
    beta: float | None,
    correction: str,
    gamma: float = 0.0,
    mixing: float = 0.5,
) -> Objective:
    """The objective of a method.

    Args:
        method: a name in `methods.METHODS` that trains.
        beta: for the methods that use it.
        correction: as in `PositiveUnlabeled`.
        gamma: as in `PositiveNegativeUnlabeled`.
        mixing: as in `WeightedPositiveUnlabeled`.
    """
    known = [name for name, one in METHODS.items() if one.trains]
    if method not in known:
        raise InvalidInput(f"method must be one of {', '.join(known)}, got {method!r}")
    if METHODS[method].beta is not None and beta is None:
        raise ValueError(f"method {method} needs beta")
    share = 0.0 if beta is None else beta
    pu = PositiveUnlabeled(share, correction)
    builders: dict[str, Callable[[], Objective]] = {
        "unsupervised": lambda: Unsupervised(),
        "supervised": lambda: Supervised(),
        "pu": lambda: pu,
        "pnu": lambda: PositiveNegativeUnlabeled(pu, gamma),
        "clean": lambda: Unsupervised(),  # on the cleaned part of U
        "pu_clean": lambda: pu,  # the same
        "weighted": lambda: Weighted(),
        "pu_weighted": lambda: WeightedPositiveUnlabeled(pu, mixing),
        "oracle": lambda: Unsupervised(),  # on the normal part of U
    }
    return builders[method]()
