"""One rule for making an image of the model's size out of an image file.

1. The kind of file is told by its content: JPEG, PNG, WebP, TIFF, BMP or GIF. Of several pages or
   frames the first is taken. An image with too many pixels is refused before it is decoded.
2. It becomes 8-bit grey or RGB. Of 16 bits the upper 8 are kept. What is transparent becomes white.
   Colour profiles are not applied. Values without a range (floats, 32 bits) are refused.
3. It is turned as its EXIF block says; a broken block is passed over.
4. `transforms.to_model_size`: the shorter side becomes `size`, the centre square is kept.

Files are decoded by Pillow, whole, so a truncated one is refused. Nothing in a file is run.
"""

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.transforms import to_model_size

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

RULE = 1  # to be raised when the pixels that the rule gives change
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
MOST_PIXELS = 100_000_000
PILLOWS_LIMIT = 178_956_970  # above, Pillow itself refuses
ORIENTATION = 0x0112  # EXIF
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # TIFF
BLACK_IS_ZERO = 1


class Unreadable(Exception):
    """What is wrong with a file, in a few words."""


class Decoded(NamedTuple):
    """An image file.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        mode: of the file's pixels, as Pillow names it.
        format: as Pillow names it.
        difference_hash: see `difference_hash`.
        pixels: (channels, size, size) uint8.
    """

    width: int
    height: int
    mode: str
    format: str
    difference_hash: int
    pixels: np.ndarray


def check_pixel_limit(most_pixels: int) -> None:
    """Refuse a limit that Pillow would not let through.

    Raises:
        InvalidInput: it is below 1 or above Pillow's own.
    """
    if not 1 <= most_pixels <= PILLOWS_LIMIT:
        raise InvalidInput(
            f"data.folder.max_pixels must be from 1 to {PILLOWS_LIMIT} (Pillow's own limit), "
            f"got {most_pixels}"
        )


def decode(file: BinaryIO, size: int, channels: int, most_pixels: int) -> Decoded:
    """Decode an image file by the rule of this module.

    A file of P pixels takes about 12 P bytes of memory while it is decoded.

    Args:
        file: at its beginning.
        size: side of the square result.
        channels: 1 (luminance) or 3.
        most_pixels: images with more are refused.

    Raises:
        Unreadable: it is no such image, too large, truncated or damaged.
        OSError: the file could not be read.
    """
    try:
        image = _open(file, most_pixels)
        mode = image.mode
        image.load()
        picture = _upright(image, _in_8_bits(image))
        pixels = to_model_size(picture, size, channels)
    except (MemoryError, Unreadable):
        raise
    except Exception as error:  # decoders raise many kinds
        if isinstance(error, OSError) and error.errno:
            raise
        raise Unreadable(_reason(error)) from error
    return Decoded(*picture.size, mode, str(image.format), difference_hash(picture), pixels)


def difference_hash(picture: "Picture") -> int:
    """dHash of 64 bits: whether brightness rises from left to right, on a grid of 8 rows of 9.

    Near duplicates differ in few bits (Krawetz, "Kind of Like That", 2013). The first bit of the
    first row is the highest.
    """
    from PIL import Image

    grid = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BILINEAR))
    return int.from_bytes(np.packbits(grid[:, 1:] > grid[:, :-1]).tobytes(), "big")


def _open(file: BinaryIO, most_pixels: int) -> "Picture":
    from PIL import Image

    try:
        image = Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise Unreadable("no image that is JPEG, PNG, WebP, TIFF, BMP or GIF") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(f"more than {most_pixels} pixels") from error
    width, height = image.size
    if not 0 < width * height <= most_pixels:
        raise Unreadable(f"{width} x {height} pixels; allowed are 1 to {most_pixels}")
    return image


def _in_8_bits(image: "Picture") -> "Picture":
    """Grey (mode L) or RGB."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return _upper_8_bits(image)
    if image.mode in ("I", "F"):
        raise Unreadable("pixels of 32 bits or signed ones, whose range is not known")
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return image.convert("L")
    if image.mode == "P" or image.mode.lower().endswith("a") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def _upper_8_bits(image: "Picture") -> "Picture":
    from PIL import Image

    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))
    if bits != (16,) or tags.get(PHOTOMETRIC, BLACK_IS_ZERO) != BLACK_IS_ZERO:
        raise Unreadable("a TIFF of 12 bits or with white at 0")
    if "transparency" in image.info:
        raise Unreadable("16 bits with a transparent value")
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _on_white(image: "Picture") -> "Picture":
    from PIL import Image

    see_through = image.info.get("transparency")
    if isinstance(see_through, tuple) and max(see_through) > 255:
        raise Unreadable("16 bits with a transparent value")
    colours = image.convert("RGBA")
    white = Image.new("RGBA", colours.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB")


def _upright(image: "Picture", picture: "Picture") -> "Picture":
    """The picture, turned as the image's EXIF block says."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif()[ORIENTATION])
    except Exception:  # there is no block, or it is broken; the pixels are not
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _reason(error: Exception) -> str:
    return (str(error).split("\n")[0] or type(error).__name__)[:200]
