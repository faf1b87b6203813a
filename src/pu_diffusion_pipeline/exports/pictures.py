"""Images as PNG files, each named by its number."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def picture_name(index: int) -> str:
    """The file of image `index`, such as 00012.png."""
    return f"{index:05d}.png"


def write_pictures(folder: Path, images: Iterable[np.ndarray]) -> None:
    """Write image i as `picture_name(i)`, without loss.

    Args:
        folder: a new one, which this makes.
        images: each (C, H, W) uint8; of one channel it stays gray.
    """
    folder.mkdir()
    for index, image in enumerate(images):
        pixels = image.transpose(1, 2, 0)
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        picture.save(folder / picture_name(index))
