"""The forward process (Eq. 6) and the per-image denoising error (Eq. 8)."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.interfaces import Denoiser, NoiseScheduler
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from diffusers import DDPMScheduler


def build_noise_scheduler(
    num_train_timesteps: int, schedule: str, prediction_type: str
) -> "DDPMScheduler":
    """diffusers' DDPMScheduler; `schedule` is its beta_schedule."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=num_train_timesteps,
        beta_schedule=schedule,
        prediction_type=prediction_type,
    )


def signal_and_noise_scale(
    noise_scheduler: NoiseScheduler, timesteps: Tensor
) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), each (B, 1, 1, 1) float32."""
    alpha_bar = noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps].float()
    alpha_bar = alpha_bar.view(-1, 1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


class Diffused(NamedTuple):
    """What noisy images are made of: x_t = signal x + sigma eps."""

    clean_images: Tensor
    noise: Tensor
    signal: Tensor
    sigma: Tensor


def denoising_error(
    denoiser: Denoiser,
    noise_scheduler: NoiseScheduler,
    clean_images: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    *,
    conditions: Tensor | None = None,
    error_space: str = "epsilon",
    reduction: str = "sum",
) -> Tensor:
    """l(x) = || eps - eps_theta(x_t, t) ||^2 per image, Eq. 8, or its analogue for v.

    v = signal eps - sigma x (Salimans & Ho 2022).

    Args:
        denoiser: a UNet2DModel or another model that predicts what the scheduler's prediction type
            says.
        noise_scheduler: gives alpha_bar and the prediction type.
        clean_images: x, (B, C, H, W) in [-1, 1], of the denoiser's own type: float32, or half.
        noise: eps, (B, C, H, W) standard Gaussian.
        timesteps: (B,) int64 in [0, T).
        conditions: c of Eq. 20, (B,) int64, passed on as `class_labels`; None: unconditional.
        error_space: `epsilon` (paper) or `v_prediction`.
        reduction: `sum` (paper) or `mean` over C, H, W.

    Returns:
        (B,) float32, never negative.

    Raises:
        InvalidInput: unknown error space, reduction or prediction type, or another shape.
    """
    if error_space not in ("epsilon", "v_prediction"):
        raise InvalidInput(f"error_space must be epsilon or v_prediction, got {error_space!r}")
    if reduction not in ("sum", "mean"):
        raise InvalidInput(f"reduction must be sum or mean, got {reduction!r}")
    _check_shapes(clean_images, noise, timesteps)
    signal, sigma = signal_and_noise_scale(noise_scheduler, timesteps)
    noisy_images = signal * clean_images + sigma * noise
    given = {} if conditions is None else {"class_labels": conditions}
    predicted = denoiser(noisy_images.to(clean_images.dtype), timesteps, **given).sample.float()
    if predicted.shape != clean_images.shape:
        raise InvalidInput(
            f"denoiser: expected a prediction of the shape {tuple(clean_images.shape)}, "
            f"got {tuple(predicted.shape)}"
        )
    diffused = Diffused(clean_images, noise, signal, sigma)
    prediction_type = noise_scheduler.config.prediction_type
    squared = _difference(predicted, prediction_type, error_space, diffused).square().flatten(1)
    return squared.sum(1) if reduction == "sum" else squared.mean(1)


def _check_shapes(clean_images: Tensor, noise: Tensor, timesteps: Tensor) -> None:
    images, per_image = tuple(clean_images.shape), (len(clean_images),)
    if len(images) != 4 or not clean_images.is_floating_point():
        kind = str(clean_images.dtype).split(".")[1]
        raise InvalidInput(f"clean_images: expected (B, C, H, W) float32, got {images} {kind}")
    for name, given, expected in (("noise", noise, images), ("timesteps", timesteps, per_image)):
        if given.shape != expected:
            raise InvalidInput(f"{name}: expected the shape {expected}, got {tuple(given.shape)}")


def _difference(
    predicted: Tensor, prediction_type: str, error_space: str, diffused: Diffused
) -> Tensor:
    """Predicted minus true eps or v.

    x_t is exact, so errors of eps, v and x0 are multiples of one another:
    d_x0 = -(sigma / signal) d_eps, d_v = d_eps / signal.
    """
    clean_images, noise, signal, sigma = diffused
    # The direct difference where target and error agree; it is exact also where signal is near 0.
    if prediction_type == "v_prediction":
        error_of_v = predicted - (signal * noise - sigma * clean_images)
        return error_of_v if error_space == "v_prediction" else signal * error_of_v
    if prediction_type == "epsilon":
        error_of_epsilon = predicted - noise
    elif prediction_type == "sample" and error_space == "v_prediction":
        return -(predicted - clean_images) / sigma  # also where signal is 0
    elif prediction_type == "sample":
        error_of_epsilon = -(signal / sigma) * (predicted - clean_images)
    else:
        raise InvalidInput(
            "the noise scheduler's prediction_type must be epsilon, v_prediction or sample, "
            f"got {prediction_type!r}"
        )
    return error_of_epsilon if error_space == "epsilon" else error_of_epsilon / signal


def independent_timesteps(
    count: int, num_train_timesteps: int, generator: torch.Generator
) -> Tensor:
    """(count,) int64, each t ~ U{0..T-1} on its own, as in the paper."""
    return torch.randint(
        0, num_train_timesteps, (count,), generator=generator, device=generator.device
    )


def stratified_timesteps(
    count: int, num_train_timesteps: int, generator: torch.Generator
) -> Tensor:
    """(count,) int64, one t from each of `count` equal parts of the range, in random order.

    Each t is still uniform, so the mean error estimates the same, with less variance
    (Kingma et al. 2021, App. I.1).
    """
    part = torch.randperm(count, generator=generator, device=generator.device)
    place = torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)
    timesteps = (part + place) * (num_train_timesteps / max(count, 1))
    return timesteps.long().clamp_max(num_train_timesteps - 1)


TIMESTEPS = {"independent": independent_timesteps, "stratified": stratified_timesteps}
