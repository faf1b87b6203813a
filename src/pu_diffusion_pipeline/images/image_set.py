"""A set of images of one size with its origin: U, S, test images, samples."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.images.sources import Source
from pu_diffusion_pipeline.images.temporary import in_file
from pu_diffusion_pipeline.images.transforms import to_model_size


@dataclass(frozen=True)
class ImageSet:
    """Images and where they come from.

    Attributes:
        images: (N, C, H, W) uint8; memory-mapped when loaded from disk.
        manifest: where the images come from: what they were made with, digests, models.
        conditions: (N,) int64, what each image shows (training) or was asked to show (samples);
            None: unconditional.
        probabilities: (N,) float64, of being sensitive; None: nobody has estimated them.
    """

    images: np.ndarray
    manifest: dict[str, Any] = field(default_factory=dict)
    conditions: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images must be (N, C, H, W) uint8, got {self.images.shape} {self.images.dtype}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: np.ndarray | slice) -> "ImageSet":
        """Some of the images, with what is known of each; nothing of the manifest."""
        known = {name: array[rows] for name, array in self._per_image().items()}
        chosen = (known.get("conditions"), known.get("probabilities"))
        return ImageSet(self.images[rows], {}, *chosen)

    def _per_image(self) -> dict[str, np.ndarray]:
        """What is known of each image, as far as it is."""
        known = {"conditions": self.conditions, "probabilities": self.probabilities}
        return {name: array for name, array in known.items() if array is not None}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `images.npy` and `manifest.json` into a new folder.

        And `conditions.npy` and `probabilities.npy`, if there are any.
        """
        folder = Path(folder)
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", self.images, allow_pickle=False)
        for name, array in self._per_image().items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        (folder / "manifest.json").write_text(json.dumps(self.manifest, indent=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "ImageSet":
        """Read what `save_pretrained` wrote; the images stay on disk until they are used.

        Raises:
            InvalidInput: a file is damaged, or holds something else. Nothing is unpickled.
        """
        folder = Path(folder)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            known = {
                name: np.load(folder / f"{name}.npy", allow_pickle=False)
                for name in ("conditions", "probabilities")
                if (folder / f"{name}.npy").is_file()
            }
            return cls(_map_images(folder / "images.npy"), manifest, **known)
        except (ValueError, EOFError, MemoryError, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"{folder} holds no set of images: expected (N, C, H, W) uint8 with a manifest, "
                f"got: {str(error).splitlines()[0]}. Delete the folder and make it anew."
            ) from error


def _map_images(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OverflowError):  # empty, or damaged: then it is refused again here
        return np.load(path, allow_pickle=False)


def read_image_set(source: Source, table: pd.DataFrame, data: DataOptions) -> ImageSet:
    """Decode and resize the images of an index table.

    Args:
        source: where they are.
        table: columns position and, for conditional training, condition.
        data: size and channels.
    """
    positions = table["position"].to_numpy()
    images = read_images(source, positions, data.image_size, data.channels)
    conditions = table["condition"].to_numpy(np.int64) if "condition" in table else None
    return ImageSet(images, conditions=conditions)


def read_images(source: Source, positions: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Decode and resize only the images at `positions`: (N, channels, size, size) uint8.

    They lie in a temporary file, so that memory does not grow with their number.
    """
    shape = (len(positions), channels, size, size)
    if not len(positions):
        return np.empty(shape, np.uint8)
    each = (to_model_size(source.read(int(position)), size, channels) for position in positions)
    return in_file(each, shape)
