"""How the weights learn: AdamW for all, or Muon for the matrices inside the network.

Muon (Jordan 2024; Liu et al. 2025, arXiv 2502.16982) replaces the averaged gradient of a matrix by
the nearest one whose singular values are all 1, so that every direction moves at the same speed. A
convolution counts as one matrix, outputs by all the rest. It is pytorch_optimizer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pu_diffusion_pipeline.training.options import TrainingOptions

if TYPE_CHECKING:
    from diffusers import UNet2DModel

MOMENTUM = 0.95  # of Muon
ENDS = ("conv_in", "conv_out", "time_embedding", "class_embedding")  # learn by AdamW
# What the optimizers keep for each weight, of its shape.
ADAMW_MOMENTS = ("exp_avg", "exp_avg_sq")
MUON_MOMENTS = ("momentum_buffer",)


def build_optimizer(denoiser: UNet2DModel, options: TrainingOptions) -> torch.optim.Optimizer:
    """AdamW, or with `muon_learning_rate` Muon and AdamW in one optimizer.

    Args:
        denoiser: whose weights it moves.
        options: learning rates, weight decay and the betas of AdamW.
    """
    rate, betas, decay = options.learning_rate, options.adam_betas, options.weight_decay
    if options.muon_learning_rate is None:
        weights = denoiser.parameters()
        return torch.optim.AdamW(weights, rate, betas, weight_decay=decay, fused=True)
    from pytorch_optimizer import Muon

    named = list(denoiser.named_parameters())
    hidden = [weight for name, weight in named if _is_hidden(name, weight)]
    others = [weight for name, weight in named if not _is_hidden(name, weight)]
    adamw = {"params": others, "use_muon": False, "lr": rate, "betas": betas, "eps": 1e-8}
    muon = {"params": hidden, "use_muon": True, "lr": options.muon_learning_rate}
    muon["momentum"] = MOMENTUM
    # AdamW's group comes last: its learning rate is the one in the history.
    return Muon([{**group, "weight_decay": decay} for group in (muon, adamw)])


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, object]) -> None:
    """Take up a saved state, its moments in the memory layout of the weights now."""
    optimizer.load_state_dict(state)
    for weight, kept in optimizer.state.items():
        for name in kept.keys() & {*ADAMW_MOMENTS, *MUON_MOMENTS}:
            kept[name] = torch.empty_like(weight).copy_(kept[name])


def num_moments(optimizer: torch.optim.Optimizer) -> int:
    """How many numbers it keeps once it has taken a step."""
    return sum(
        weight.numel() * len(MUON_MOMENTS if group.get("use_muon") else ADAMW_MOMENTS)
        for group in optimizer.param_groups
        for weight in group["params"]
    )


def _is_hidden(name: str, weight: torch.Tensor) -> bool:
    return weight.ndim >= 2 and not name.startswith(ENDS)
