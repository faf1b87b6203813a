"""Seconds of a step of Muon on the default denoiser, as the library has it (bf16) and in fp32.

python benchmarks/muon_step.py [--rounds 3]

In turns, on the CPU with as many threads as OMP_NUM_THREADS says. The project takes the first where
the hardware has bf16, else the second. Beside them the time of a denoiser's forward and backward
pass on a batch.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_precision
from pu_diffusion_pipeline.training import optimizers
from pu_diffusion_pipeline.training.optimizers import build_optimizer
from pu_diffusion_pipeline.training.start import random_start

PROJECT = Path(__file__).resolve().parents[1]


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    parameters = open_loader(PROJECT / "conf", None, {}).final_parameters()
    data, training = parameters.data, parameters.training
    unet = random_start(parameters.denoiser, parameters.noise, data, 0).unet
    images = torch.zeros(training.batch_size, data.channels, data.image_size, data.image_size)
    timesteps = torch.zeros(len(images), dtype=torch.long)

    def both_ways() -> None:
        unet(images, timesteps).sample.square().mean().backward()

    work: dict[str, Callable[[], object]] = {"forward and backward": both_ways}
    for precision in ("bf16", "fp32"):
        with patch.object(optimizers, "resolve_precision", lambda *_, found=precision: found):
            work[f"Muon in {precision}"] = build_optimizer(unet, training).step
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):  # the first warms up
        for name, one in work.items():
            seconds = seconds_of(one)
            found[name] += [seconds] * (number > 0)
    print(f"here Muon is in {resolve_precision('auto', 'cpu')}; {torch.get_num_threads()} threads")
    for name, times in found.items():
        print(f"{name}: {statistics.median(times):.3f} s")


if __name__ == "__main__":
    main()
