"""What a step computes on: its images, noise, timesteps and conditions, all a function of seed and step."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.noising import TIMESTEPS
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from pu_diffusion_pipeline.seeding import derive_seed


class Draws(NamedTuple):
    """What a step computes on; every tensor has the whole batch (B), also where processes share it.

    Attributes:
        clean_images: (B, C, H, W) in [-1, 1].
        noise: (B, C, H, W).
        timesteps: (B,) int64.
        labels: (B,) int64, the set each image comes from.
        conditions: (B,) int64, or None.
    """

    clean_images: Tensor
    noise: Tensor
    timesteps: Tensor
    labels: Tensor
    conditions: Tensor | None

    def at(self, places: Tensor) -> "Draws":
        """Some of the images."""
        return Draws(*(None if part is None else part[places] for part in self))


@dataclass(frozen=True)
class RandomDraws:
    """Draws noise, timesteps and dropped conditions; every set of images has a random stream of its own.

    Attributes:
        seed: the run's seed.
        device: where tensors are made.
        num_train_timesteps: T.
        timesteps: a name in `noising.TIMESTEPS`.
        condition_dropout: share of conditions that are replaced by the one that means none.
    """

    seed: int
    device: torch.device
    num_train_timesteps: int
    timesteps: str
    condition_dropout: float

    def at(self, step: int, images: list[np.ndarray], conditions: list[np.ndarray] | None, none: int | None) -> Draws:
        """The draws of a step.

        Args:
            step: from 0.
            images: of every set in the order of `labels.SETS`, (N, C, H, W) uint8.
            conditions: of every set, (N,) int64; None: unconditional.
            none: the condition that means none: the last class of the denoiser's embedding.
        """
        parts = []
        for name, part in zip(SETS, images, strict=True):
            generator = self._generator(step, "training_noise", name)
            clean_images = to_unit(torch.from_numpy(np.ascontiguousarray(part)).to(self.device))
            noise = torch.randn(clean_images.shape, generator=generator, device=self.device)
            timesteps = TIMESTEPS[self.timesteps](len(part), self.num_train_timesteps, generator)
            parts.append((clean_images, noise, timesteps))
        clean_images, noise, timesteps = (torch.cat(part) for part in zip(*parts, strict=True))
        labels = torch.repeat_interleave(torch.arange(len(images)), torch.tensor([len(part) for part in images]))
        given = None if conditions is None else self._drop_some(step, conditions, none)
        return Draws(clean_images, noise, timesteps, labels.to(self.device), given)

    def _drop_some(self, step: int, conditions: list[np.ndarray], none: Any) -> Tensor:
        parts = []
        for name, part in zip(SETS, conditions, strict=True):
            drop = torch.rand(len(part), generator=self._generator(step, "condition_dropout", name), device=self.device)
            given = torch.from_numpy(np.ascontiguousarray(part)).to(self.device)
            parts.append(torch.where(drop < self.condition_dropout, none, given))
        return torch.cat(parts)

    def _generator(self, step: int, purpose: str, name: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derive_seed(self.seed, purpose, name, step))
