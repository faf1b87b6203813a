"""Seconds of sampling in one process and in several, in turns, with one thread each.

python benchmarks/sampling_processes.py [--processes 2] [--images 2000] [--steps 30] [--rounds 3]
    [--env ENV] [--to FILE.jsonl]

The weights are random: the time does not depend on them. The time of several processes holds their
start, which imports torch and diffusers. Prints the seconds of each round and the ratio of the
medians, and appends them to FILE as a line of JSON. Needs as many idle cores as processes.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.training.start import random_start

PROJECT = Path(__file__).resolve().parents[1]


class Drawn:
    """Draws the same images in any number of processes."""

    def __init__(self, env: str | None, changes: dict[str, int]) -> None:
        parameters = open_loader(PROJECT / "conf", env, {}).final_parameters()
        self.start = random_start(parameters.denoiser, parameters.noise, parameters.data, 0)
        self.options = parameters.sampling.model_copy(update=changes)
        self.compute = resolve_compute(parameters.compute)

    def images(self, **changes: int) -> np.ndarray:
        """With these options of sampling."""
        options = self.options.model_copy(update=changes)
        how = {"seed": 0, "compute": self.compute}
        return sample_images(self.start.unet, self.start.scheduler, options, **how)

    def timed(self, num_processes: int) -> tuple[float, np.ndarray]:
        """Seconds, and the images."""
        begun = time.perf_counter()
        images = self.images(num_processes=num_processes)
        return time.perf_counter() - begun, images


def measure(drawn: Drawn, num_processes: int, rounds: int) -> dict[str, object]:
    """Both in turns."""
    drawn.images(num_images=2, num_steps=1)  # imports
    seconds: dict[int, list[float]] = {1: [], num_processes: []}
    is_same = True
    for number in range(rounds):
        found = {count: drawn.timed(count) for count in seconds}
        for count, (taken, _) in found.items():
            seconds[count].append(round(taken, 2))
        is_same &= np.array_equal(found[1][1], found[num_processes][1])
        spelled = ", ".join(f"{taken:.1f} s in {count}" for count, (taken, _) in found.items())
        print(f"round {number + 1}: {spelled}", flush=True)
    medians = {count: statistics.median(taken) for count, taken in seconds.items()}
    return {
        "processes": num_processes,
        "seconds_in_one": seconds[1],
        "seconds_in_several": seconds[num_processes],
        "ratio": round(medians[1] / medians[num_processes], 3),
        "same_images": is_same,
        "images": drawn.options.num_images,
        "steps": drawn.options.num_steps,
        "batch_size": drawn.options.batch_size,
        "device": drawn.compute.device,
        "precision": drawn.compute.precision,
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--env")
    parser.add_argument("--to", type=Path, default=Path("sampling_processes.jsonl"))
    given = parser.parse_args()
    if given.processes < 2:
        parser.error(f"--processes: expected at least 2, got {given.processes}")
    torch.set_num_threads(1)  # of one process, and so of each of several
    asked = {"num_images": given.images, "num_steps": given.steps}
    changes = {name: value for name, value in asked.items() if value is not None}
    found = measure(Drawn(given.env, changes), given.processes, given.rounds)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    line = json.dumps({**found, **machine, "torch": torch.__version__})
    with given.to.open("a") as file:
        file.write(f"{line}\n")
    print(line)
    print(f"{given.processes} processes draw {found['ratio']} times as fast as one")


if __name__ == "__main__":
    main()
