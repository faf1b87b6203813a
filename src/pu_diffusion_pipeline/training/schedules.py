"""The learning rate over training and the average of the weights: diffusers' own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel


def cosine_with_warmup(
    optimizer: torch.optim.Optimizer, warmup_steps: int, num_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear from 0 over the warm-up, then a half cosine to 0.

    Args:
        optimizer: the plain one: accelerate's wrapper would count a step for every process.
        warmup_steps: steps of the warm-up.
        num_steps: steps of the whole training.
    """
    from diffusers.optimization import get_cosine_schedule_with_warmup

    return get_cosine_schedule_with_warmup(optimizer, warmup_steps, num_steps)


def moving_average(denoiser: torch.nn.Module, decay: float) -> EMAModel:
    """The exponential moving average of the weights, with diffusers' ramp (1 + k) / (10 + k)."""
    from diffusers.training_utils import EMAModel

    return EMAModel(denoiser.parameters(), decay=decay, foreach=True)
