"""The training sets as the loop takes them: arrays in the order of `labels.SETS`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pu_diffusion_pipeline.diffusion.weights_check import weights_in_order
from pu_diffusion_pipeline.digests import digest
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS

if TYPE_CHECKING:
    import pandas as pd
    from diffusers import UNet2DModel


class TrainingSets(NamedTuple):
    """U, S and, for methods that use them, labeled normal images.

    Attributes:
        unlabeled: U; for the reference method, its normal part.
        labeled_sensitive: S; may be empty for methods that do not look at it.
        labeled_normal: N; None where the method has none.
    """

    unlabeled: ImageSet
    labeled_sensitive: ImageSet
    labeled_normal: ImageSet | None = None

    @property
    def given(self) -> list[ImageSet]:
        """The sets that are there."""
        return [part for part in self if part is not None]

    @property
    def images(self) -> list[np.ndarray]:
        """(N, C, H, W) uint8 of every set; an empty array for one that is not there."""
        none = self.unlabeled.images[:0]
        return [none if part is None else part.images for part in self]

    @property
    def counts(self) -> dict[str, int]:
        """Images in each set, by its name."""
        return dict(zip(SETS, map(len, self.images), strict=True))

    @property
    def conditions(self) -> list[np.ndarray] | None:
        """(N,) int64 of every set, the condition c (Eq. 20) of each image; None: unconditional."""
        if self.unlabeled.conditions is None:
            return None
        return [_conditions_of(part) for part in self]

    @property
    def probabilities(self) -> list[np.ndarray] | None:
        """(N,) float64 of every set, of being sensitive; None where nobody has estimated U's."""
        of_unlabeled = self.unlabeled.probabilities
        if of_unlabeled is None:
            return None
        _, labeled_sensitive, labeled_normal = self.images
        return [of_unlabeled, np.ones(len(labeled_sensitive)), np.zeros(len(labeled_normal))]

    def weighed(self, table: pd.DataFrame | None) -> TrainingSets:
        """The same sets, with the probability of each image of U of being sensitive.

        Args:
            table: with a column `probability`, in U's order; None: not known.

        Raises:
            InvalidInput: it is of another U.
        """
        if table is None:
            return self
        probabilities = table["probability"].to_numpy()
        if len(probabilities) != len(self.unlabeled):
            raise InvalidInput(
                f"probabilities: expected one for each of the {len(self.unlabeled)} images of U, "
                f"got {len(probabilities)}; make them anew"
            )
        return self._replace(unlabeled=replace(self.unlabeled, probabilities=probabilities))

    def digest(self, denoiser: UNet2DModel) -> str:
        """sha256 of what a training starts from: the sets and the initial weights."""
        images = [part.images for part in self.given]
        conditions = [part.conditions for part in self.given if part.conditions is not None]
        probabilities = [] if self.probabilities is None else self.probabilities
        weights = weights_in_order(denoiser)
        return digest(*images, *conditions, *probabilities, *weights)


def _conditions_of(part: ImageSet | None) -> np.ndarray:
    if part is None:
        return np.zeros(0, dtype=np.int64)
    if part.conditions is None:
        raise ValueError("either all training sets have conditions or none, got some without")
    return part.conditions
