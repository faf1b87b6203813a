"""How the weights learn: AdamW for all, or Muon for the matrices inside the network.

Muon (Jordan 2024; Liu et al. 2025, arXiv 2502.16982) replaces the averaged gradient of a matrix by
the nearest one whose singular values are all 1, so that every direction moves at the same speed. A
convolution counts as one matrix, outputs by all the rest. It is pytorch_optimizer's, which computes
that matrix in bf16; hardware without bf16 would emulate it, many times slower than fp32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pu_diffusion_pipeline.diffusion.compute import resolve_precision
from pu_diffusion_pipeline.training.options import TrainingOptions

if TYPE_CHECKING:
    from diffusers import UNet2DModel
    from pytorch_optimizer import Muon
    from pytorch_optimizer.base.type import ParamGroup

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
    named = list(denoiser.named_parameters())
    hidden = [weight for name, weight in named if _is_hidden(name, weight)]
    others = [weight for name, weight in named if not _is_hidden(name, weight)]
    adamw = {"params": others, "use_muon": False, "lr": rate, "betas": betas, "eps": 1e-8}
    muon = {"params": hidden, "use_muon": True, "lr": options.muon_learning_rate}
    muon["momentum"] = MOMENTUM
    # AdamW's group comes last: its learning rate is the one in the history.
    kind = _muon_of(next(denoiser.parameters()).device.type)
    return kind([{**group, "weight_decay": decay} for group in (muon, adamw)])


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


def _muon_of(device: str) -> type[Muon]:
    """Muon as it is where the hardware has bf16, elsewhere in fp32."""
    from pytorch_optimizer import Muon
    from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5

    if resolve_precision("auto", device) == "bf16":
        return Muon

    class Float32Muon(Muon):
        @staticmethod
        def _orthogonalize(group: ParamGroup, updates: list[torch.Tensor]) -> list[torch.Tensor]:
            how = {"num_steps": group["ns_steps"], "weights": group["ns_coeffs"]}
            matrices = (update.flatten(1) for update in updates)
            return [
                zero_power_via_newton_schulz_5(one, dtype=torch.float32, **how) for one in matrices
            ]

    return Float32Muon


def _is_hidden(name: str, weight: torch.Tensor) -> bool:
    return weight.ndim >= 2 and not name.startswith(ENDS)
