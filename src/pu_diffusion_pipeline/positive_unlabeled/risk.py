"""The positive-unlabeled risk on per-image denoising errors (paper, Eq. 10-19 and Algorithm 1)."""

from typing import NamedTuple

import torch
from torch import Tensor

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.labels import (
    LABELED_NORMAL,
    LABELED_SENSITIVE,
    UNLABELED,
)

LN2 = 0.6931471805599453
SATURATED = 20.0  # above it l_BCE(x, 1) and its gradient are below 3e-9


def sensitive_cross_entropy(denoising_error: Tensor) -> Tensor:
    """l_BCE(x, 1) = -log(1 - exp(-l)), Eq. 11, stable for l -> 0 and l -> infinity.

    Args:
        denoising_error: l, any shape, >= 0. Below the smallest normal number it counts as that
            number (and gives 87.3).

    Returns:
        Same shape and type, >= 0.
    """
    error = denoising_error.clamp_min(torch.finfo(denoising_error.dtype).tiny)
    # Both branches of `where` are differentiated: each gets values it is finite on. Neither is
    # clamped at LN2 itself, where both would have no gradient.
    near = error.clamp_max(1.0)
    far = error.clamp_min(0.5)
    return -torch.where(error < LN2, torch.log(-torch.expm1(-near)), torch.log1p(-torch.exp(-far)))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` (B,) where `mask` (B,) is true; 0 where it is true nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


class Risks(NamedTuple):
    """The three empirical risks of Eq. 18, scalars.

    Attributes:
        sensitive_positive: R_S+, mean over S of l_BCE(x, 1).
        unlabeled_negative: R_U-, mean over U of l_BCE(x, 0) = l(x).
        sensitive_negative: R_S-, mean over S of l(x); 0 in a batch without U. There the normal risk
            has no estimate, and its correction would lower the errors on S.
    """

    sensitive_positive: Tensor
    unlabeled_negative: Tensor
    sensitive_negative: Tensor


def empirical_risks(denoising_error: Tensor, labels: Tensor) -> Risks:
    """The risks of a batch.

    Args:
        denoising_error: (B,) float32, >= 0.
        labels: (B,) int64, the set each image comes from (`labels.SETS`).

    Raises:
        InvalidInput: another shape or type.
    """
    if denoising_error.ndim != 1 or labels.shape != denoising_error.shape:
        raise InvalidInput(
            "denoising_error and labels: expected one number for each image, (B,) and (B,), got "
            f"{tuple(denoising_error.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point():
        raise InvalidInput(f"labels: expected int64, got {str(labels.dtype).split('.')[1]}")
    in_sensitive = labels == LABELED_SENSITIVE
    in_unlabeled = labels == UNLABELED
    return Risks(
        sensitive_positive=masked_mean(sensitive_cross_entropy(denoising_error), in_sensitive),
        unlabeled_negative=masked_mean(denoising_error, in_unlabeled),
        sensitive_negative=masked_mean(denoising_error, in_sensitive) * in_unlabeled.any(),
    )


def weighted_risks(
    denoising_error: Tensor, labels: Tensor, probabilities: Tensor, mixing: float
) -> Risks:
    """Risks whose normal risk is E_U[(1 - r) l] + mixing (E_U[r l] - beta E_S[l]).

    With r = P(sensitive | x), E_U[(1 - r) l] estimates (1 - beta) E_N[l] (importance weights). Both
    terms of the bracket estimate beta E_S[l], so it is 0 in expectation, and every mixing has the
    same one, if r and beta are right. Mixing 0 is re-weighting, mixing 1 the paper's risk.

    Args:
        denoising_error: as in `empirical_risks`.
        labels: as there.
        probabilities: (B,) float32, r of each image.
        mixing: from 0 to 1.
    """
    risks = empirical_risks(denoising_error, labels)
    weights = 1 - (1 - mixing) * probabilities
    return Risks(
        sensitive_positive=mixing * risks.sensitive_positive,
        unlabeled_negative=masked_mean(weights * denoising_error, labels == UNLABELED),
        sensitive_negative=mixing * risks.sensitive_negative,
    )


def labeled_normal_risk(denoising_error: Tensor, labels: Tensor) -> Tensor:
    """R_N-, the mean of l(x) over labeled normal images; arguments as in `empirical_risks`."""
    return masked_mean(denoising_error, labels == LABELED_NORMAL)


def saturated_share(denoising_error: Tensor, labels: Tensor) -> Tensor:
    """Share of S whose error is so large that R_S+ has no gradient there; only logged."""
    return masked_mean((denoising_error > SATURATED).float(), labels == LABELED_SENSITIVE)


def normal_risk(risks: Risks, beta: float) -> Tensor:
    """R_U- - beta R_S-, an estimate of (1 - beta) E_N[l], Eq. 16.

    It may be negative on finite data.
    """
    return risks.unlabeled_negative - beta * risks.sensitive_negative


def unbiased(risks: Risks, beta: float) -> Tensor:
    """Eq. 17-18: no correction."""
    return beta * risks.sensitive_positive + normal_risk(risks, beta)


def absolute(risks: Risks, beta: float) -> Tensor:
    """beta R_S+ plus the absolute value of R_U- - beta R_S-."""
    return beta * risks.sensitive_positive + normal_risk(risks, beta).abs()


def non_negative(risks: Risks, beta: float) -> Tensor:
    """Eq. 19 as in Algorithm 1: while the normal risk is negative, the step only raises it."""
    normal = normal_risk(risks, beta)
    return torch.where(normal >= 0, beta * risks.sensitive_positive + normal, -normal)


CORRECTIONS = {"non_negative": non_negative, "absolute": absolute, "none": unbiased}


def positive_negative_unlabeled(
    risks: Risks, labeled_normal: Tensor, beta: float, gamma: float, correction: str
) -> Tensor:
    """gamma R_PN + (1 - gamma) R_PU (Sakai et al. 2017, PNU).

    R_PN = beta R_S+ + (1 - beta) R_N-.

    Args:
        risks: of U and S.
        labeled_normal: R_N-.
        beta: share of sensitive images in U.
        gamma: weight of the labeled normal images, in [0, 1]; 0 is PU.
        correction: of R_PU, one of `CORRECTIONS`.
    """
    positive_negative = beta * risks.sensitive_positive + (1 - beta) * labeled_normal
    return gamma * positive_negative + (1 - gamma) * CORRECTIONS[correction](risks, beta)
