"""Processor seconds of the process that writes a store of images, by what reads the files.

python benchmarks/readers.py FOLDER [--size 64] [--by threads ray ray_data]

FOLDER holds unlabeled/ and sensitive/. Threads do all the work in that process; with Ray (the extra
ray; started here, or at RAY_ADDRESS) it takes the pixels and writes them. `ray_data` is what
docs/decisions/0013 decided against. Ray is connected before the clock starts.
"""

import argparse
import pickle
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np

from pu_diffusion_pipeline.digests import digest_of_file
from pu_diffusion_pipeline.images.folder_listing import Entry
from pu_diffusion_pipeline.images.folder_reading import Outcome, Read
from pu_diffusion_pipeline.images.image_store import READERS, ImageStore
from pu_diffusion_pipeline.images.ray_reading import FILES_PER_TASK


def read_with_ray_data(entries: list[Entry], read: Read) -> Generator[Outcome, None, None]:
    """As `read_with_ray`, but by Ray Data, in order, with blocks of as many files."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True

    def outcomes(batch: dict[str, np.ndarray]) -> dict[str, list[bytes]]:
        entries = [entry for share in batch["share"] for entry in pickle.loads(share)]  # noqa: S301
        found = [read(entry) for entry in entries]
        return {
            "row": [pickle.dumps(row) for row, _ in found],
            "pixels": [b"" if pixels is None else pixels.tobytes() for _, pixels in found],
        }

    starts = range(0, len(entries), FILES_PER_TASK)
    shares = [{"share": pickle.dumps(entries[start : start + FILES_PER_TASK])} for start in starts]
    dataset = ray.data.from_items(shares, override_num_blocks=len(shares))
    for batch in dataset.map_batches(outcomes, batch_size=1).iter_batches(batch_size=None):
        for row, pixels in zip(batch["row"], batch["pixels"], strict=True):
            found = pickle.loads(row)  # noqa: S301
            yield found, np.frombuffer(pixels, np.uint8) if pixels else None


def main() -> None:
    """Read the folder by each, into a store that is deleted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--by", nargs="+", default=["threads", "ray", "ray_data"])
    options = parser.parse_args()
    READERS["ray_data"] = read_with_ray_data
    if options.by != ["threads"]:
        import ray

        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print(
        "| by | images | seconds | processor seconds | digest |\n|---|---|---|---|---|", flush=True
    )
    for engine in options.by:
        with tempfile.TemporaryDirectory() as folder:
            begun, used = time.perf_counter(), time.process_time()
            found = ImageStore(folder).update(options.folder, options.size, 3, engine=engine)
            seconds, used = time.perf_counter() - begun, time.process_time() - used
            (array,) = Path(folder).glob("images-*.npy")
            print(
                f"| {engine} | {len(found.images)} | {seconds:.1f} | {used:.2f} "
                f"| {digest_of_file(array)[:8]} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
