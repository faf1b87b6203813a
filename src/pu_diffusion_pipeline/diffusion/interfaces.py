"""What this package needs from a denoiser and a noise scheduler; diffusers' classes have it."""

from typing import Any, Protocol

from torch import Tensor


class Prediction(Protocol):
    """The output of a denoiser: `sample`, (B, C, H, W)."""

    sample: Tensor


class Denoiser(Protocol):
    """A model that predicts eps, v or x0 from noisy images."""

    def __call__(
        self, noisy_images: Tensor, timesteps: Tensor, /, **conditions: Tensor
    ) -> Prediction:
        """Predict.

        Args:
            noisy_images: (B, C, H, W) float32.
            timesteps: (B,) or () int64 in [0, T).
            conditions: `class_labels`, (B,) int64, for a conditional denoiser.
        """
        ...


class NoiseScheduler(Protocol):
    """A forward process (Eq. 4-6).

    Attributes:
        alphas_cumprod: alpha_bar_t, (T,).
        config: has `prediction_type` and `num_train_timesteps`.
    """

    alphas_cumprod: Tensor

    @property
    def config(self) -> Any:
        """See the class."""
        ...
