"""The learning rate over training, the average of the weights (both diffusers' own), and the optimizer's state."""

from typing import Any

import torch


def cosine_with_warmup(optimizer: torch.optim.Optimizer, warmup_steps: int, num_steps: int) -> Any:
    """Linear from 0 over the warm-up, then a half cosine to 0.

    Args:
        optimizer: the plain one: accelerate's wrapper would count a step for every process.
        warmup_steps: steps of the warm-up.
        num_steps: steps of the whole training.
    """
    from diffusers.optimization import get_cosine_schedule_with_warmup

    return get_cosine_schedule_with_warmup(optimizer, warmup_steps, num_steps)


def moving_average(denoiser: torch.nn.Module, decay: float | None) -> Any:
    """diffusers' exponential moving average of the weights with its ramp (1 + k) / (10 + k); None without a decay."""
    from diffusers.training_utils import EMAModel

    return None if decay is None else EMAModel(denoiser.parameters(), decay=decay, foreach=True)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up a saved state of AdamW, its moments in the memory layout that the weights have now."""
    optimizer.load_state_dict(state)
    for weight, moments in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name] = torch.empty_like(weight).copy_(moments[name])
