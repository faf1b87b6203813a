import errno
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet, read_images
from pu_diffusion_pipeline.images.sources import Source
from pu_diffusion_pipeline.images.temporary import in_order


def some_images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def test_a_saved_set_comes_back_with_its_manifest(tmp_path):
    manifest = {"settings": {"data.image_size": 8, "seed": 0, "beta": 0.1}}
    ImageSet(some_images(), manifest).save_pretrained(tmp_path / "set")
    loaded = ImageSet.from_pretrained(tmp_path / "set")
    np.testing.assert_array_equal(loaded.images, some_images())
    assert loaded.manifest == manifest
    assert len(loaded) == 5


def test_some_of_the_images_keep_what_is_known_of_each_also_on_disk(tmp_path):
    whole = ImageSet(some_images(), {"a": 1}, np.arange(5), np.linspace(0, 1, 5))
    whole.save_pretrained(tmp_path / "set")
    chosen = ImageSet.from_pretrained(tmp_path / "set").select(np.array([3, 1]))
    np.testing.assert_array_equal(chosen.images, some_images()[[3, 1]])
    assert chosen.conditions.tolist() == [3, 1]
    assert chosen.probabilities.tolist() == [0.75, 0.25]
    assert chosen.manifest == {}


def test_a_loaded_set_stays_on_disk_and_cannot_be_changed(tmp_path):
    ImageSet(some_images()).save_pretrained(tmp_path / "set")
    images = ImageSet.from_pretrained(tmp_path / "set").images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_saving_over_a_set_is_refused(tmp_path):
    ImageSet(some_images(5)).save_pretrained(tmp_path / "set")
    with pytest.raises(FileExistsError):
        ImageSet(some_images(2)).save_pretrained(tmp_path / "set")
    assert len(ImageSet.from_pretrained(tmp_path / "set")) == 5


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("canary"),))


def npy_header(shape: tuple[int, ...], padding: str = "") -> bytes:
    """A file of numpy's format, version 2, that ends after its header."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}{padding}\n".encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


DAMAGED = {
    "empty": b"",
    "text": b"not an array",
    "short": npy_header((10, 3, 8, 8)),
    "10^15 images": npy_header((10**15, 3, 8, 8)),
    "10^40 images": npy_header((10**40, 3, 8, 8)),
    "long header": npy_header((0, 3, 8, 8), " " * 10**6),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_array_is_refused_naming_the_folder(tmp_path, content):
    ImageSet(some_images()).save_pretrained(tmp_path / "set")
    (tmp_path / "set/images.npy").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"set holds no set of images: .*Delete the folder"):
        ImageSet.from_pretrained(tmp_path / "set")


@pytest.mark.parametrize("content", ["", "[" * 10**5], ids=["empty", "deep"])
def test_a_damaged_manifest_is_refused_naming_the_folder(tmp_path, content):
    ImageSet(some_images()).save_pretrained(tmp_path / "set")
    (tmp_path / "set/manifest.json").write_text(content)
    with pytest.raises(InvalidInput, match="set holds no set of images"):
        ImageSet.from_pretrained(tmp_path / "set")


@pytest.mark.parametrize("name", ["images.npy", "conditions.npy"])
def test_a_file_with_python_objects_is_not_unpickled(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    ImageSet(some_images(), conditions=np.arange(5)).save_pretrained(tmp_path / "set")
    np.save(tmp_path / "set" / name, np.array([Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInput, match=r"pickle|Python object"):
        ImageSet.from_pretrained(tmp_path / "set")
    assert not Path("canary").exists()
    np.load(tmp_path / "set" / name, allow_pickle=True)
    assert Path("canary").exists()


def test_an_empty_set_comes_back(tmp_path):
    ImageSet(some_images(0)).save_pretrained(tmp_path / "set")
    assert len(ImageSet.from_pretrained(tmp_path / "set")) == 0


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 3, 8, 8), dtype=np.float32), np.zeros((3, 8, 8), dtype=np.uint8)],
    ids=["dtype", "rank"],
)
def test_anything_but_a_stack_of_uint8_images_is_refused(images):
    with pytest.raises(ValueError, match=r"must be \(N, C, H, W\) uint8"):
        ImageSet(images)


def test_only_the_images_asked_for_are_read_in_the_order_asked_for():
    seen = []

    def read(position: int) -> np.ndarray:
        seen.append(position)
        return np.full((8, 8), position, dtype=np.uint8)

    source = Source(
        np.zeros(100, dtype=np.int64), np.zeros(100, dtype=bool), read, lambda position: b""
    )
    images = read_images(source, np.array([70, 3, 41]), size=16, channels=3)
    assert seen == [70, 3, 41]
    assert images.shape == (3, 3, 16, 16)
    assert images.dtype == np.uint8
    assert [np.unique(image).tolist() for image in images] == [[70], [3], [41]]


def test_the_folder_without_room_for_read_images_is_named(monkeypatch):
    def refuse():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(InvalidInput, match=f"{tempfile.gettempdir()} has no room .* TMPDIR"):
        read_images(Source(None, None, None, None), np.array([0]), size=16, channels=3)


@pytest.mark.parametrize("count", [1, 5, 3_000])
def test_images_in_another_order_lie_in_a_file(count):
    images = some_images(count)
    rows = np.random.default_rng(1).permutation(count)
    found = in_order(images, rows)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, images[rows])
