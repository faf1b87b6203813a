"""Seconds and peak memory of reading a user's folder of images, again, and of near duplicates.

python benchmarks/folders.py [--images 20000] [--size 64] [--folder FOLDER]

The images are JPEG files of 256 x 256 pixels: crops of the photographs and textures that are in
scikit-image's package (`pip install scikit-image`), turned and of varied brightness; one in fifty
is a copy of the one before it, compressed more. FOLDER (default: a temporary one) must have room
for about 20 KB an image. Each step runs in a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from pu_diffusion_pipeline.images.duplicates import near_duplicates
from pu_diffusion_pipeline.images.image_store import ImageStore

SIDE = 256
COPY_EVERY = 50
SENSITIVE_SHARE = 0.1
# Each must be at least SIDE pixels high and wide; others of the package are fetched from the net.
SOURCES = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png"),
    *("retina.jpg", "rocket.jpg"),
)
BOUNDS = {"first read": 60, "second read": 3, "near duplicates": 30}  # seconds, for 20,000


def originals() -> list[np.ndarray]:
    """(H, W, 3) uint8 photographs and textures."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [np.asarray(Image.open(folder / name).convert("RGB")) for name in SOURCES]


def picture(number: int, sources: list[np.ndarray]) -> Image.Image:
    """(SIDE, SIDE) a crop of one of the sources; the same for the same number."""
    rng = np.random.default_rng(number)
    source = sources[rng.integers(len(sources))]
    top, left = (rng.integers(0, length - SIDE + 1) for length in source.shape[:2])
    crop = source[top : top + SIDE, left : left + SIDE]
    crop = np.rot90(crop, rng.integers(4))[:, :: rng.choice([-1, 1])]
    return Image.fromarray(np.clip(crop * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8))


def make_images(root: Path, count: int) -> None:
    """The user's folder."""
    sources = originals()
    for role in ("unlabeled", "sensitive"):
        (root / role).mkdir(parents=True)

    def write(number: int) -> None:
        is_copy = number % COPY_EVERY == 1
        role = "sensitive" if number < SENSITIVE_SHARE * count else "unlabeled"
        image = picture(number - is_copy, sources)
        image.save(root / role / f"{number:06d}.jpg", quality=70 if is_copy else 90)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(count)))


def run_step(step: str, options: argparse.Namespace) -> str:
    """One step, in this process; what it found."""
    folder = Path(options.folder)
    begun = time.perf_counter()
    update = ImageStore(folder / "store").update(folder / "photos", options.size, 3)
    found = f"{update.images.shape}, {update.index['problem'].notna().sum()} problems"
    if step == "near duplicates":
        begun = time.perf_counter()
        hashes = update.index["difference_hash"].to_numpy(np.uint64)
        found = f"{near_duplicates(hashes).num_pairs} pairs"
    seconds = time.perf_counter() - begun
    status = Path("/proc/self/status").read_text()  # of this program alone, unlike getrusage
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return f"| {step} | {seconds:.1f} | {BOUNDS[step]} | {peak:.0f} | {found} |"


def main() -> None:
    """Make the images and run every step, or run the step that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--folder")
    parser.add_argument("--step", choices=BOUNDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(run_step(options.step, options))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        make_images(Path(folder) / "photos", options.images)
        print(f"{options.images} images\n| step | seconds | bound | peak MB | found |")
        print("|---|---|---|---|---|", flush=True)
        command = [sys.executable, __file__, "--size", str(options.size), "--folder", folder]
        for step in BOUNDS:
            subprocess.run([*command, "--step", step], check=True)


if __name__ == "__main__":
    main()
