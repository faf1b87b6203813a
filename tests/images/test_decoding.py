"""The one rule for image files, on digits in every kind of file that it takes."""

import io
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageSequence

from image_folders import HOLDS, digit, digits, encoded
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.decoding import (
    FORMATS,
    MOST_PIXELS,
    PILLOWS_LIMIT,
    Decoded,
    Unreadable,
    check_pixel_limit,
    decode,
    difference_hash,
)
from pu_diffusion_pipeline.images.transforms import to_model_size

KINDS = [(kind, mode) for kind, modes in HOLDS.items() for mode in modes]


def read(
    content: bytes, size: int = 28, channels: int = 1, most_pixels: int = MOST_PIXELS
) -> Decoded:
    return decode(io.BytesIO(content), size, channels, most_pixels)


def grey(content: bytes, size: int = 28) -> np.ndarray:
    """(size, size) the pixels with one channel."""
    return read(content, size).pixels[0]


# --- kinds of pixels ------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode"), KINDS, ids=[f"{kind}-{mode}" for kind, mode in KINDS])
def test_a_digit_is_the_same_in_every_format_and_mode(kind, mode):
    options = {"quality": 100} if kind == "JPEG" else {}
    decoded = read(encoded(digit(7, mode=mode), kind, **options))
    reference = digits()[7]
    if mode == "1":
        reference = np.asarray(digit(7, mode="1").convert("L"))
    tolerance = 4 if kind == "JPEG" else 0
    np.testing.assert_allclose(decoded.pixels[0].astype(int), reference, atol=tolerance)
    assert (decoded.width, decoded.height, decoded.format) == (28, 28, kind)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_model_s_size_is_made_by_the_one_rule_of_the_project(mode, channels):
    image = digit(3, (50, 37), mode)
    plain = np.asarray(digit(3, (50, 37)))
    np.testing.assert_array_equal(
        read(encoded(image, "PNG"), 16, channels).pixels, to_model_size(plain, 16, channels)
    )


def test_colours_keep_their_places():
    colours = np.stack(digits()[:3], axis=-1)
    content = encoded(Image.fromarray(colours), "PNG")
    np.testing.assert_array_equal(read(content, 28, 3).pixels, digits()[:3])


def on_paper(number: int, mode: str) -> Image.Image:
    """A digit in black ink, whose alpha is the digit: on white paper it is the digit's negative."""
    ink = Image.new("L", (28, 28), 0)
    alpha = Image.fromarray(digits()[number])
    bands = (ink, alpha) if mode == "LA" else (ink, ink, ink, alpha)
    return Image.merge(mode, bands)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_becomes_white(kind, mode):
    content = encoded(on_paper(4, mode), kind)
    np.testing.assert_allclose(grey(content).astype(int), 255 - digits()[4].astype(int), atol=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_becomes_white(mode):
    image = digit(4, mode=mode)
    black = (0, 0, 0) if mode == "RGB" else image.getpixel((0, 0))
    expected = np.where(digits()[4] == 0, 255, digits()[4])
    np.testing.assert_array_equal(grey(encoded(image, "PNG", transparency=black)), expected)


def test_a_transparent_gif_is_put_on_white():
    content = encoded(digit(4, mode="P"), "GIF", transparency=0)
    assert grey(content)[0, 0] == 255


def gradient() -> np.ndarray:
    """(28, 28) uint16 from 0 to 65535."""
    return np.linspace(0, 65535, 28 * 28).astype(np.uint16).reshape(28, 28)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_clipped(kind):
    content = encoded(Image.fromarray(gradient()), kind)
    np.testing.assert_array_equal(grey(content), gradient() >> 8)


def tiff(order: str, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A grey TIFF of 28 x 28 pixels whose samples are those of `gradient`, as far as they go."""
    kind = {8: "u1", 12: "u2", 16: "u2", 32: "u4"}[bits]
    pixels = gradient().astype(order + kind).tobytes()
    values = {256: 28, 257: 28, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: 28}
    values |= {279: len(pixels), 339: sample_format}
    values[273] = 8 + 2 + 12 * len(values) + 4
    text = b"II*\0" if order == "<" else b"MM\0*"
    text += struct.pack(f"{order}IH", 8, len(values))
    for tag, value in sorted(values.items()):
        text += struct.pack(f"{order}HHII", tag, 4, 1, value)
    return text + struct.pack(f"{order}I", 0) + pixels


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_are_read_in_either_byte_order(order):
    np.testing.assert_array_equal(grey(tiff(order, 16)), gradient() >> 8)


NO_RANGE = {
    "12 bits": tiff("<", 12),
    "white at 0": tiff("<", 16, photometric=0),
    "signed": tiff("<", 16, sample_format=2),
    "32 bits": tiff("<", 32),
    "float": encoded(Image.fromarray(gradient().astype(np.float32)), "TIFF"),
    "transparent 16 bits": encoded(Image.fromarray(gradient()), "PNG", transparency=0),
}


@pytest.mark.parametrize("content", NO_RANGE.values(), ids=NO_RANGE)
def test_pixels_whose_meaning_is_not_known_are_refused(content):
    with pytest.raises(Unreadable, match=r"range|12 bits|white at 0|16 bits with a transparent"):
        read(content)


# --- orientation ----------------------------------------------------------------------------------

# What a camera held in each way records of an upright image (EXIF 2.32, tag Orientation).
HELD = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", HELD)
def test_an_image_is_turned_upright(kind, orientation):
    upright = np.asarray(digit(5, (40, 30)))
    recorded = Image.fromarray(np.ascontiguousarray(HELD[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if kind == "JPEG" else {}
    image = recorded.convert("RGB") if kind == "WEBP" else recorded
    decoded = read(encoded(image, kind, exif=exif, **options), 30)
    assert (decoded.width, decoded.height) == (40, 30)
    np.testing.assert_allclose(decoded.pixels[0].astype(int), upright[:, 5:35], atol=4)


BROKEN_EXIF = [
    b"Exif\0\0",
    b"Exif\0\0garbage",
    b"Exif\0\0II*\0\xff\xff\xff\xff",
    b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40,
    # The orientation stands where the block ends.
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHII", 0x0112, 3, 99, 999),
    # The orientation is a text; or it is none of the eight.
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHI4sI", 0x0112, 2, 3, b"ab\0\0", 0),
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 0x0112, 3, 1, 77, 0, 0),
]


@pytest.mark.parametrize("block", BROKEN_EXIF)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore")
def test_a_broken_exif_block_is_no_failure(kind, block):
    image = digit(5, (40, 30), "RGB")
    np.testing.assert_array_equal(
        grey(encoded(image, kind, exif=block)), grey(encoded(image, kind))
    )


# --- what is refused ------------------------------------------------------------------------------


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("canary"),))


NO_IMAGES = {
    "empty": b"",
    "text": b"<!doctype html><p>404 Not Found",
    "vector": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
    "runs Ghostscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n",
    "pickle": pickle.dumps(Harmful()),
    "array of objects": b"\x93NUMPY\x01\x00" + pickle.dumps(Harmful()),
    "PPM": encoded(digit(1), "PPM"),
    "ICO": encoded(digit(1), "ICO"),
    "TGA": encoded(digit(1), "TGA"),
    "PDF": encoded(digit(1), "PDF"),
    "zeros": bytes(10_000),
    "signature of PNG": b"\x89PNG\r\n\x1a\n",
    "signature of JPEG": b"\xff\xd8\xff\xe0",
}


@pytest.mark.parametrize("content", NO_IMAGES.values(), ids=NO_IMAGES)
def test_a_file_that_is_no_image_of_these_formats_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unreadable):
        read(content)
    assert not Path("canary").exists()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_refused(kind, share):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    assert read(content).pixels.any()
    with pytest.raises(Unreadable):
        read(content[: int(share * len(content))])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_or_refused_but_raises_nothing_else(kind):
    rng = np.random.default_rng(0)
    content = np.frombuffer(encoded(digit(8, mode="RGB"), kind), dtype=np.uint8)
    reasons = []
    for _ in range(60):
        damaged = content.copy()
        places = rng.integers(0, min(len(content), 200), rng.integers(1, 6))
        damaged[places] = rng.integers(0, 256, len(places))
        try:
            assert read(damaged.tobytes(), most_pixels=10_000).pixels.shape == (1, 28, 28)
        except Unreadable as error:
            reasons.append(str(error))
    assert reasons
    assert all(0 < len(reason) <= 200 and "\n" not in reason for reason in reasons)


# --- limits ---------------------------------------------------------------------------------------


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    def load(image):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.usefixtures("nothing_is_decoded")
@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_above_the_limit_is_refused_before_it_is_decoded(kind):
    content = encoded(digit(8, mode="RGB"), kind)
    with pytest.raises(Unreadable, match="28 x 28 pixels; allowed are 1 to 783"):
        read(content, most_pixels=28 * 28 - 1)
    with pytest.raises(AssertionError, match="decoded"):
        Image.open(io.BytesIO(content)).load()


def png(width: int, height: int) -> bytes:
    """A PNG that claims to have that many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.usefixtures("nothing_is_decoded")
@pytest.mark.parametrize("side", [10_001, 13_377, 50_000, 2**31 - 1])
@pytest.mark.filterwarnings("ignore")
def test_a_decompression_bomb_is_refused(side):
    with pytest.raises(Unreadable, match="pixels"):
        read(png(side, side))


@pytest.mark.parametrize("limit", [0, -1, PILLOWS_LIMIT + 1])
def test_a_limit_that_pillow_would_not_let_through_is_refused(limit):
    check_pixel_limit(1)
    check_pixel_limit(PILLOWS_LIMIT)
    with pytest.raises(InvalidInput, match="max_pixels must be from 1 to"):
        check_pixel_limit(limit)


def test_pillow_s_own_limit_is_the_one_named_here():
    assert PILLOWS_LIMIT == 2 * Image.MAX_IMAGE_PIXELS


# --- several frames, odd shapes -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_taken(kind):
    first, second = digit(1, mode="RGB"), digit(2, mode="RGB")
    content = encoded(first, kind, save_all=True, append_images=[second])
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(content))))) == 2
    np.testing.assert_array_equal(grey(content), digits()[1])


def test_of_a_jpeg_with_several_pictures_the_first_is_taken():
    content = encoded(digit(1), "MPO", save_all=True, append_images=[digit(2)], quality=100)
    decoded = read(content)
    assert decoded.format == "MPO"
    np.testing.assert_allclose(decoded.pixels[0].astype(int), digits()[1], atol=4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (28, 29)])
def test_an_image_of_any_shape_becomes_a_square_of_the_model_s_size(shape):
    decoded = read(encoded(Image.new("L", shape, 77), "PNG"), 64)
    assert (decoded.width, decoded.height) == shape
    assert np.unique(decoded.pixels).tolist() == [77]
    assert decoded.pixels.shape == (1, 64, 64)


# --- difference hash ------------------------------------------------------------------------------


def test_a_bit_of_the_hash_says_whether_brightness_rises():
    grid = np.zeros((8, 9), dtype=np.uint8)
    grid[0, 4:] = 100  # rises once, between columns 3 and 4 of the first row
    grid[7] = np.arange(9)  # rises always in the last row
    assert difference_hash(Image.fromarray(grid)) == (1 << (63 - 3)) | 0xFF
    assert difference_hash(Image.new("RGB", (50, 50), "red")) == 0
    assert difference_hash(Image.fromarray(np.tile(np.arange(90, dtype=np.uint8), (80, 1)))) == (
        2**64 - 1
    )


def test_the_hash_is_that_of_the_whole_image_and_of_the_eight_bits():
    wide = digit(3, (60, 28))
    expected = difference_hash(wide)
    for mode in ("L", "RGB", "I;16", "RGBA"):
        decoded = read(encoded(digit(3, (60, 28), mode), "PNG"), 8, 3)
        assert decoded.difference_hash == expected


def test_a_compressed_or_smaller_copy_has_nearly_the_same_hash_and_others_have_not():
    def distance(one: Image.Image, other: Image.Image) -> int:
        return (difference_hash(one) ^ difference_hash(other)).bit_count()

    numbers = range(0, 5000, 250)
    originals = [digit(number, (128, 128)) for number in numbers]
    copies = [
        Image.open(io.BytesIO(encoded(image.resize((90, 90)), "JPEG", quality=60)))
        for image in originals
    ]
    assert np.mean([distance(*pair) for pair in zip(originals, copies, strict=True)]) < 8
    others = [*originals[1:], originals[0]]
    assert np.mean([distance(*pair) for pair in zip(originals, others, strict=True)]) > 12
