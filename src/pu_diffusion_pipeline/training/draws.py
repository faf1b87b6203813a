"""What a step computes on: images, noise, timesteps and conditions, from the seed and the step."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.noising import TIMESTEPS
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from pu_diffusion_pipeline.seeding import derive_seed
from pu_diffusion_pipeline.training.batches import Batches, select_rows
from pu_diffusion_pipeline.training.sets import TrainingSets


class Draws(NamedTuple):
    """What a step computes on; tensors hold the whole batch (B), also where processes share it.

    Attributes:
        clean_images: (B, C, H, W) in [-1, 1].
        noise: (B, C, H, W).
        timesteps: (B,) int64.
        labels: (B,) int64, the set each image comes from.
        conditions: (B,) int64, or None.
        probabilities: (B,) float32, of being sensitive, or None.
    """

    clean_images: Tensor
    noise: Tensor
    timesteps: Tensor
    labels: Tensor
    conditions: Tensor | None
    probabilities: Tensor | None = None

    def select(self, places: Tensor) -> "Draws":
        """The draws of some images of the batch.

        Args:
            places: int64, positions in the batch.
        """
        return Draws(
            self.clean_images[places],
            self.noise[places],
            self.timesteps[places],
            self.labels[places],
            None if self.conditions is None else self.conditions[places],
            None if self.probabilities is None else self.probabilities[places],
        )


@dataclass(frozen=True)
class RandomDraws:
    """Draws noise, timesteps and dropped conditions; every set has a random stream of its own.

    Attributes:
        seed: the run's seed.
        device: where tensors are made.
        num_train_timesteps: T.
        timesteps: a name in `noising.TIMESTEPS`.
        condition_dropout: share of conditions that are dropped, so that the denoiser also learns
            to do without (classifier-free guidance, Ho & Salimans 2022).
        no_condition: what a dropped condition becomes: the last class of the denoiser's
            embedding; None for an unconditional denoiser.
    """

    seed: int
    device: torch.device
    num_train_timesteps: int
    timesteps: str
    condition_dropout: float = 0.0
    no_condition: int | None = None

    def for_step(
        self, step: int, images: list[np.ndarray], conditions: list[np.ndarray] | None
    ) -> Draws:
        """The draws of a step.

        Args:
            step: from 0.
            images: of every set in the order of `labels.SETS`, (N, C, H, W) uint8.
            conditions: of every set, (N,) int64; None: unconditional.
        """
        drawn = [self._of_set(step, name, part) for name, part in zip(SETS, images, strict=True)]
        sizes = torch.tensor([len(part) for part in images])
        labels = torch.repeat_interleave(torch.arange(len(images)), sizes)
        return Draws(
            torch.cat([clean_images for clean_images, _, _ in drawn]),
            torch.cat([noise for _, noise, _ in drawn]),
            torch.cat([timesteps for _, _, timesteps in drawn]),
            labels.to(self.device),
            None if conditions is None else self._drop_some(step, conditions),
        )

    def _of_set(self, step: int, name: str, images: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Clean images, noise and timesteps of one set's part of the batch."""
        generator = self._generator(step, "training_noise", name)
        clean_images = to_unit(self._on_device(images))
        noise = torch.randn(clean_images.shape, generator=generator, device=self.device)
        timesteps = TIMESTEPS[self.timesteps](len(images), self.num_train_timesteps, generator)
        return clean_images, noise, timesteps

    def _drop_some(self, step: int, conditions: list[np.ndarray]) -> Tensor:
        if self.no_condition is None:
            raise ValueError("the training images have conditions, but the denoiser takes none")
        parts = []
        for name, part in zip(SETS, conditions, strict=True):
            generator = self._generator(step, "condition_dropout", name)
            drop = torch.rand(len(part), generator=generator, device=self.device)
            is_dropped = drop < self.condition_dropout
            parts.append(torch.where(is_dropped, self.no_condition, self._on_device(part)))
        return torch.cat(parts)

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _generator(self, step: int, purpose: str, name: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derive_seed(self.seed, purpose, name, step))


@dataclass(frozen=True)
class BatchDraws:
    """The draws of every step of a training.

    Attributes:
        sets: the training images.
        used: names of the sets that the objective looks at; images of others are not computed.
        batches: which images make the batch of a step.
        random: what is random about them.
    """

    sets: TrainingSets
    used: tuple[str, ...]
    batches: Batches
    random: RandomDraws

    def for_step(self, step: int) -> Draws:
        """The draws of a step (from 0)."""
        rows = self.batches.for_step(step).rows_for(self.used)
        images = select_rows(self.sets.images, rows)
        conditions = self.sets.conditions
        given = None if conditions is None else select_rows(conditions, rows)
        draws = self.random.for_step(step, images, given)
        probabilities = self.sets.probabilities
        if probabilities is None:
            return draws
        chosen = np.concatenate(select_rows(probabilities, rows)).astype(np.float32)
        return draws._replace(probabilities=torch.from_numpy(chosen).to(draws.labels.device))
