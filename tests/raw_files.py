"""Small files in the data sets' own formats, in torchvision's layout, and a small diffusers model.

torchvision compares digests of the genuine files: its lists get the digests of ours, so that its
check still runs.
"""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import torchvision.datasets as tv
from PIL import Image

CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose "
    "Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses "
    "Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache "
    "Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick "
    "Wearing_Necklace Wearing_Necktie Young"
)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """The idx format of MNIST: magic number, sizes, bytes; all big-endian."""
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def random_images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_mnist(root: Path, draw) -> None:
    """Full-size files; `draw(part, count)` gives the images; labels count 0, 1, ..., 9, 0, ..."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(draw(part, count)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            idx((np.arange(count) % 10).astype(np.uint8))
        )


def write_cifar10(root: Path, monkeypatch, sizes: list[int]) -> None:
    """Five training batches and the test batch of the given sizes.

    Labels count up from the batch's number.
    """
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        rows = random_images(size, 32).transpose(0, 3, 1, 2).reshape(size, 3072)
        content = {"data": rows, "labels": [(number + row) % 10 for row in range(len(rows))]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [f"class {number}" for number in range(10)]})
    )
    listed = [[name, md5(folder / name)] for name in names]
    monkeypatch.setattr(tv.CIFAR10, "train_list", listed[:5])
    monkeypatch.setattr(tv.CIFAR10, "test_list", listed[5:])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(tv.CIFAR10, "meta", meta)


def write_stl10(root: Path, monkeypatch, train: list[int], test: list[int]) -> None:
    """The two labelled partitions with the given labels (from 1, as in the published files)."""
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, labels in (("train", train), ("test", test), ("unlabeled", [0])):
        # The published files hold each channel column by column.
        (folder / f"{part}_X.bin").write_bytes(
            random_images(len(labels), 96).transpose(0, 3, 2, 1).tobytes()
        )
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes(bytes(labels))
    listed = [
        [name, md5(folder / name)] for name in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")
    ]
    monkeypatch.setattr(tv.STL10, "train_list", listed)
    monkeypatch.setattr(
        tv.STL10, "test_list", [[name, md5(folder / name)] for name in ("test_X.bin", "test_y.bin")]
    )


def write_celeba(root: Path, monkeypatch, partitions: list[int], male: list[int]) -> None:
    """JPEG files and lists; partitions 0 train, 1 validation, 2 test; attribute Male 1 or -1."""
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, len(male) + 1)]
    for number, name in enumerate(names):
        pixels = np.zeros((218, 178, 3), dtype=np.uint8)
        pixels[:109], pixels[109:] = (200, 20 * number % 256, 0), (0, 20 * number % 256, 200)
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name, quality=95)
    # Every other attribute says the opposite of Male, so that a wrong column shows.
    rows = [" ".join(f"{value:2d}" for value in [-one] * 20 + [one] + [-one] * 19) for one in male]
    count = str(len(names))
    files = {
        "list_attr_celeba.txt": [
            count,
            f"{CELEBA_ATTRIBUTES} ",
            *map(" ".join, zip(names, rows, strict=True)),
        ],
        "identity_CelebA.txt": [f"{name} {number}" for number, name in enumerate(names)],
        "list_bbox_celeba.txt": [
            count,
            "image_id x_1 y_1 width height",
            *(f"{name}    9  8  7  6" for name in names),
        ],
        "list_landmarks_align_celeba.txt": [
            count,
            "lefteye_x lefteye_y",
            *(f"{name} 69  109" for name in names),
        ],
        "list_eval_partition.txt": [
            f"{name} {part}" for name, part in zip(names, partitions, strict=True)
        ],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    listed = [
        ("no id", "no digest", "img_align_celeba.zip"),
        *(("no id", md5(folder / name), name) for name in files),
    ]
    monkeypatch.setattr(tv.CelebA, "file_list", listed)


def tiny_unet(channels: int, size: int):
    """An unconditional denoiser such as the hub models', small; always the same weights."""
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
