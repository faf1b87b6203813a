"""The forward process (Eq. 6) and the per-image denoising error (Eq. 8)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pu_diffusion_pipeline.errors import InvalidInput


def build_noise_scheduler(num_train_timesteps: int, schedule: str, prediction_type: str) -> Any:
    """diffusers' DDPMScheduler; `schedule` is its beta_schedule."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=num_train_timesteps, beta_schedule=schedule, prediction_type=prediction_type
    )


def signal_and_noise_scale(noise_scheduler: Any, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), each (B, 1, 1, 1) float32."""
    alpha_bar = noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps].float().view(-1, 1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def denoising_error(
    denoiser: Callable[..., Any],
    noise_scheduler: Any,
    clean_images: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    *,
    conditions: Tensor | None = None,
    error_space: str = "epsilon",
    reduction: str = "sum",
) -> Tensor:
    """l(x) = || eps - eps_theta(x_t, t) ||^2 per image, Eq. 8, or the like on v = alpha eps - sigma x.

    Args:
        denoiser: (noisy_images, timesteps) -> object with `sample` (B, C, H, W), of the scheduler's prediction type.
        noise_scheduler: gives alpha_bar and the prediction type.
        clean_images: (B, C, H, W) float32 in [-1, 1].
        noise: (B, C, H, W) standard Gaussian.
        timesteps: (B,) int64 in [0, T).
        conditions: (B,) int64, c of Eq. 20, handed on as `class_labels`; None for an unconditional denoiser.
        error_space: `epsilon` (paper) or `v_prediction`.
        reduction: `sum` (paper) or `mean` over C, H, W.

    Returns:
        (B,) float32, never negative.
    """
    if error_space not in ("epsilon", "v_prediction"):
        raise InvalidInput(f"objective.error_space must be epsilon or v_prediction, got {error_space!r}")
    if reduction not in ("sum", "mean"):
        raise InvalidInput(f"objective.reduction must be sum or mean, got {reduction!r}")
    signal, sigma = signal_and_noise_scale(noise_scheduler, timesteps)
    noisy_images = signal * clean_images + sigma * noise
    given = {} if conditions is None else {"class_labels": conditions}
    predicted = denoiser(noisy_images, timesteps, **given).sample.float()
    difference = _difference(
        predicted, noise_scheduler.config.prediction_type, error_space, clean_images, noise, signal, sigma
    )
    squared = difference.square().flatten(1)
    return squared.sum(1) if reduction == "sum" else squared.mean(1)


def _difference(
    predicted: Tensor,
    predicts: str,
    error_space: str,
    clean_images: Tensor,
    noise: Tensor,
    signal: Tensor,
    sigma: Tensor,
) -> Tensor:
    """Predicted minus true eps or v. x_t is exact, so errors of eps, v and x0 are multiples of one another:
    d_x0 = -(sigma / signal) d_eps, d_v = d_eps / signal.
    """  # fmt: skip
    # The direct difference where target and error agree; it is exact also where signal is near 0.
    if predicts == "v_prediction":
        error_of_v = predicted - (signal * noise - sigma * clean_images)
        return error_of_v if error_space == "v_prediction" else signal * error_of_v
    if predicts == "epsilon":
        error_of_epsilon = predicted - noise
        return error_of_epsilon if error_space == "epsilon" else error_of_epsilon / signal
    if predicts == "sample":
        error_of_epsilon = -(signal / sigma) * (predicted - clean_images)
        return error_of_epsilon if error_space == "epsilon" else error_of_epsilon / signal
    raise InvalidInput(f"noise.prediction_type must be epsilon, v_prediction or sample, got {predicts!r}")


def independent_timesteps(count: int, num_train_timesteps: int, generator: torch.Generator) -> Tensor:
    """(count,) int64, each t ~ U{0..T-1} on its own, as in the paper."""
    return torch.randint(0, num_train_timesteps, (count,), generator=generator, device=generator.device)


def stratified_timesteps(count: int, num_train_timesteps: int, generator: torch.Generator) -> Tensor:
    """(count,) int64, one t from each of `count` equal parts of the range, in random order.

    Each t is still uniform, so the mean error estimates the same; it varies less (Kingma et al. 2021, App. I.1).
    """
    part = torch.randperm(count, generator=generator, device=generator.device)
    place = torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)
    return ((part + place) * (num_train_timesteps / max(count, 1))).long().clamp_max(num_train_timesteps - 1)


TIMESTEPS = {"independent": independent_timesteps, "stratified": stratified_timesteps}
