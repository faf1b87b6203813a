"""Size and channels of source images, and the conversions between uint8 and [-1, 1]."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor


def to_model_size(image: "np.ndarray | Picture", size: int, channels: int) -> np.ndarray:
    """Resize with antialiasing and set the number of channels.

    The shorter side becomes `size`, and the centre square is kept.

    Args:
        image: (H, W) or (H, W, 3) uint8, or Pillow's image of mode L or RGB.
        size: side of the square result.
        channels: 1 (luminance) or 3 (grey images are repeated).

    Returns:
        (channels, size, size) uint8.
    """
    from PIL import Image, ImageOps

    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture = picture.convert("L" if channels == 1 else "RGB")
    picture = ImageOps.fit(picture, (size, size), method=Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(size, size, channels).transpose(2, 0, 1)


def to_unit(images: "Tensor") -> "Tensor":
    """(B, C, H, W) uint8 tensor in 0..255 to float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1.0)


def to_uint8(images: "Tensor") -> "Tensor":
    """(B, C, H, W) float tensor, clipped to [-1, 1], to uint8 in 0..255, rounded."""
    import torch

    return images.float().clamp(-1, 1).add(1.0).mul(127.5).round_().to(torch.uint8)
