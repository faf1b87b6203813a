"""What a GPU makes of the paper's rows: seconds of a step, memory, hours of a row, as JSON.

python benchmarks/gpu.py [--device cuda] [--rows mnist_even,cifar10_vehicles,...] [--to FILE]

The images are made up and only the network counts; no data is needed. Each way of computing has a
process of its own, because torch keeps memory and compiled code.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.objectives import Objective
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.synthetic import synthetic_digits
from pu_diffusion_pipeline.training.batches import length_in_steps
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.start import random_start
from pu_diffusion_pipeline.training.train import train

PROJECT = Path(__file__).resolve().parents[1]
ROWS = "mnist_even,cifar10_vehicles,stl10_vehicles,celeba_male"
WAYS = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, channels_last, compiled": {"precision": "bf16", "channels_last": True, "compile": True},
}
WARM, TIMED = 5, 20  # steps


class Timed:
    """An objective that notes when it is called, once a step, and waits for the device."""

    def __init__(self, objective: Objective, device: str) -> None:
        self.objective, self.device = objective, device
        self.times: list[float] = []

    def __call__(self, denoising_error: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As the objective."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        return self.objective(denoising_error, labels)


def measure(row: str, way: str, device: str, *, is_short: bool) -> dict[str, float]:
    """A training of a few steps, and one batch of samples."""
    warm, timed = (1, 3) if is_short else (WARM, TIMED)
    changes = {"compute": {"device": device, **WAYS[way]}}
    parameters = open_loader(PROJECT / "conf", row, changes).final_parameters()
    counts, options = parameters.data.counts, parameters.training
    union = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
    full = length_in_steps(options.num_steps, options.num_epochs, union, options.batch_size)
    size, channels = parameters.data.image_size, parameters.data.channels
    digits, _ = synthetic_digits(per_class=30, size=size)
    images = np.ascontiguousarray(np.repeat(digits[:, None], channels, axis=1))
    sets = TrainingSets(ImageSet(images[30:]), ImageSet(images[:30]))
    start = random_start(parameters.denoiser, parameters.noise, parameters.data, 0)
    changed = {"num_steps": warm + timed, "num_epochs": None, "batches": "stratified"}
    common = (options.model_copy(update=changed), parameters.objective, parameters.compute)
    job = Job(start, "pu", 0.1, 0, *common, title=f"{row}, {way}")
    clock = Timed(job.build_objective(), device)
    train(job, sets, objective=clock)
    step = statistics.median(np.diff(clock.times)[warm - 1 :])
    found = {"seconds_per_step": step, "hours_of_a_training": full * step / 3600}
    if device == "cuda":
        found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    drawing = {"num_images": parameters.sampling.batch_size, "num_steps": 2}
    sampling = parameters.sampling.model_copy(update=drawing)
    begun = time.perf_counter()
    compute = resolve_compute(parameters.compute)
    sample_images(start.unet, start.scheduler, sampling, seed=0, compute=compute)
    calls = drawing["num_images"] * 2
    whole = parameters.sampling.num_images * parameters.sampling.num_steps
    found["hours_of_sampling"] = (time.perf_counter() - begun) / calls * whole / 3600
    return found


def machine(device: str) -> dict[str, object]:
    """What it was measured on."""
    found: dict[str, object] = {"torch": torch.__version__, "device": device}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "memory_gb": properties.total_memory / 1e9}
        found["cuda"] = torch.version.cuda
    return found


def main() -> None:
    """Measure every row in every way and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--rows", default=ROWS)
    parser.add_argument("--to", type=Path, default=Path("gpu.json"))
    parser.add_argument("--short", action="store_true", help="four steps only, to try the script")
    parser.add_argument("--one", nargs=2, metavar=("ROW", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here: check `nvidia-smi` and the wheel of torch")
    if given.one:
        print(json.dumps(measure(*given.one, given.device, is_short=given.short)))
        return
    results: dict[str, object] = {"machine": machine(given.device), "rows": {}}
    for row in given.rows.split(","):
        results["rows"][row] = {}
        for way in WAYS:
            again = [sys.executable, __file__, "--device", given.device, "--one", row, way]
            done = subprocess.run(
                [*again, *(["--short"] if given.short else [])], capture_output=True, text=True
            )
            failed = done.stderr.strip().splitlines()[-1:] if done.returncode else []
            found = {"error": failed[0]} if failed else json.loads(done.stdout.splitlines()[-1])
            results["rows"][row][way] = found
            print(row, way, found, flush=True)
            given.to.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
