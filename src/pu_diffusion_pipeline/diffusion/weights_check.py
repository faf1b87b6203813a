"""What the weights of a model must be before any work is spent on it."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from pu_diffusion_pipeline.digests import digest
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from torch import nn


def weights_in_order(denoiser: "nn.Module") -> list[np.ndarray]:
    """The weights, in the order of their names."""
    return [weight.cpu().numpy() for _, weight in sorted(denoiser.state_dict().items())]


def weights_digest(denoiser: "nn.Module") -> str:
    """sha256 of the weights."""
    return digest(*weights_in_order(denoiser))


def refuse_nonfinite(denoiser: "nn.Module", what: str) -> None:
    """Refuse weights that are not numbers.

    Raises:
        InvalidInput: naming the model and one of the weights.
    """
    for name, weight in denoiser.state_dict().items():
        if not torch.isfinite(weight).all():
            raise InvalidInput(
                f"{what}: the weight {name} holds values that are not finite; make the model anew"
            )
