"""Folders as a user has them, made of real images whose truth is known.

python benchmarks/make_folders.py digits FOLDER [--seed 0]
python benchmarks/make_folders.py textures FOLDER [--seed 0]
python benchmarks/make_folders.py cifar10 FOLDER --source SOURCE [--normal vehicles] [--seed 0]

- digits: the embedded MNIST digits (PNG); even ones are normal. Split as conf/base.
- textures: crops of 64 x 64 pixels of scikit-image's photographs (PNG); grass and gravel are
  normal, bricks are sensitive. The crops of test/ are from a part of each photograph of which no
  other crop is. `pip install scikit-image` first.
- cifar10: SOURCE holds train/CLASS/*.jpg and test/CLASS/*.jpg; counts as in the paper's Table 1.

Each FOLDER gets unlabeled/, sensitive/, test/ and labels.csv; of the digits test/ holds no
sensitive ones. For a run that no label reaches, set data.folder.labels: false, or delete the file.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.positive_unlabeled.split import is_sensitive, split_images
from pu_diffusion_pipeline.seeding import numpy_generator

CONF = Path(__file__).resolve().parents[1] / "conf"
VEHICLES = ("airplane", "automobile", "ship", "truck")
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
SIDE = 64  # of a crop
TEST_PART = 0.25  # of the width of a photograph
Labelled = tuple[str, Path | Image.Image, bool]  # role, image, whether it is sensitive


def digits(seed: int) -> Iterator[Labelled]:
    """Those of the embedded default, as its split has them."""
    data = open_loader(CONF, None, {}).final_parameters().data
    source = open_source(data.source, data.root, download=False)
    counts = data.given_counts.model_dump()
    split = split_images(source.classes, source.is_test, data.normal_classes, counts, seed)
    for role, positions in (
        ("unlabeled", split.unlabeled),
        ("sensitive", split.labeled_sensitive),
        ("test", split.test),
    ):
        truth = is_sensitive(source.classes[positions], data.normal_classes)
        for position, sensitive in zip(positions, truth, strict=True):
            yield role, Image.fromarray(source.read(int(position))), bool(sensitive)


def textures(seed: int) -> Iterator[Labelled]:
    """Crops of grass, gravel and bricks."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    rng = numpy_generator(seed, "textures")
    for role, name, sensitive, count in (
        ("unlabeled", "grass", False, 1000),
        ("unlabeled", "gravel", False, 1000),
        ("unlabeled", "brick", True, 200),
        ("sensitive", "brick", True, 200),
        ("test", "grass", False, 250),
        ("test", "gravel", False, 250),
        ("test", "brick", True, 250),
    ):
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("L"))
        border = round((1 - TEST_PART) * pixels.shape[1])
        part = pixels[:, border:] if role == "test" else pixels[:, :border]
        for _ in range(count):
            top, left = (rng.integers(0, length - SIDE + 1) for length in part.shape)
            crop = part[top : top + SIDE, left : left + SIDE]
            yield role, Image.fromarray(crop[:, :: rng.choice([-1, 1])]), sensitive


def cifar10(seed: int, source: Path, normal: str) -> Iterator[Labelled]:
    """JPEG files, copied as they are."""
    rng = numpy_generator(seed, "cifar10")
    normal_classes, sensitive_classes = (
        (VEHICLES, ANIMALS) if normal == "vehicles" else (ANIMALS, VEHICLES)
    )
    files = {
        (part, sensitive): rng.permutation(
            sorted(path for one in classes for path in (source / part / one).iterdir())
        )
        for part in ("train", "test")
        for sensitive, classes in ((False, normal_classes), (True, sensitive_classes))
    }
    hidden = files["train", True]
    for role, sensitive, paths in (
        ("unlabeled", False, files["train", False][:20_000]),
        ("unlabeled", True, hidden[:2_000]),
        ("sensitive", True, hidden[2_000:4_000]),
        ("test", False, files["test", False]),
        ("test", True, files["test", True]),
    ):
        for path in paths:
            yield role, path, sensitive


def write(root: Path, images: Iterator[Labelled], seed: int) -> None:
    """Numbered in a random order, so that no name tells what an image shows."""
    order = numpy_generator(seed, "names").permutation(100_000)
    rows = []
    for number, (role, image, sensitive) in zip(order, images, strict=False):
        (root / role).mkdir(parents=True, exist_ok=True)
        if isinstance(image, Image.Image):
            path = root / role / f"{number:05d}.png"
            image.save(path)
        else:
            path = root / role / f"{number:05d}{image.suffix}"
            shutil.copyfile(image, path)
        rows.append({"path": path.relative_to(root).as_posix(), "sensitive": int(sensitive)})
    pd.DataFrame(rows).sort_values("path").to_csv(root / "labels.csv", index=False)
    counts = pd.Series([row["path"].partition("/")[0] for row in rows]).value_counts()
    print(root, counts.to_dict())


def main() -> None:
    """Make the folder that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["digits", "textures", "cifar10"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--normal", choices=["vehicles", "animals"], default="vehicles")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.folder.exists():
        parser.error(f"{given.folder} exists")
    if given.kind == "cifar10":
        if given.source is None:
            parser.error("cifar10 needs --source")
        images = cifar10(given.seed, given.source, given.normal)
    else:
        images = (digits if given.kind == "digits" else textures)(given.seed)
    write(given.folder, images, given.seed)


if __name__ == "__main__":
    main()
