"""Sampling that is pushed away from another model (Karras et al. 2024; Koulischer et al. 2024).

The denoiser of the normal data is D_N = D_U + r / (1 - r) (D_U - D_S) at each noisy image, with r
its probability of being sensitive: a step away from what holds more sensitive images. Here the step
starts from a PU model, away from the model of all of U, and its length is a constant.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.interfaces import Denoiser, Prediction
from pu_diffusion_pipeline.diffusion.options import GuidingOptions
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from diffusers import DDPMPipeline, UNet2DModel

SAME = ("prediction_type", "beta_schedule", "num_train_timesteps")


class Away(NamedTuple):
    """What sampling is pushed away from, how far, and when.

    Attributes:
        denoiser: the other model.
        weight: 0 is the plain model.
        first: the smallest timestep at which it acts.
        end: the smallest one above it at which it does not.
    """

    denoiser: "UNet2DModel"
    weight: float
    first: int
    end: int

    @classmethod
    def from_model(
        cls, other: "DDPMPipeline", model: "DDPMPipeline", options: GuidingOptions
    ) -> "Away":
        """Check that the two models speak of the same noise and images.

        Raises:
            InvalidInput: they do not; or they are conditional.
        """
        for name in SAME:
            here, there = model.scheduler.config[name], other.scheduler.config[name]
            if here != there:
                raise InvalidInput(f"guiding: the models differ in {name}: {here} and {there}")
        shapes = [
            (one.unet.config.sample_size, one.unet.config.in_channels) for one in (model, other)
        ]
        if shapes[0] != shapes[1]:
            raise InvalidInput(f"guiding: the models draw images of other sizes: {shapes}")
        if model.unet.config.num_class_embeds is not None:
            raise InvalidInput("guiding: expected unconditional models (data.num_conditions null)")
        return cls(other.unet, options.weight, *options.timesteps)


class PushedAway:
    """A denoiser that predicts D + weight (D - D_other) at some timesteps.

    What is predicted (noise, v, image) is a linear function of the clean image for a given noisy
    one, so this holds for each of them.

    Args:
        denoiser: D, a UNet2DModel.
        away: from what.
    """

    def __init__(self, denoiser: "UNet2DModel", away: Away) -> None:
        self.denoiser = denoiser
        self.away = away
        self.device: torch.device = denoiser.device

    def __call__(
        self, noisy_images: Tensor, timestep: Tensor, /, **conditions: Tensor
    ) -> Prediction:
        """As the denoiser."""
        predicted = self.denoiser(noisy_images, timestep)
        if not self.away.first <= int(timestep) < self.away.end:
            return predicted
        other: Denoiser = self.away.denoiser
        from_other = other(noisy_images, timestep).sample
        predicted.sample = predicted.sample + self.away.weight * (predicted.sample - from_other)
        return predicted
