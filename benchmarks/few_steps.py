"""Samplers of diffusers with few steps, on one model: the tables of docs/results/samplers.md.

python benchmarks/few_steps.py MODEL 'Karras:30' 'exp:15' ... [--images 500]

MODEL is a diffusers folder of the embedded digits. Needs `kedro run --pipeline=train_classifier`
first, for the judge and the reference features. Every sampler starts from the same noise.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import torch
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import autocast, resolve_precision
from pu_diffusion_pipeline.diffusion.saved_pipeline import as_trained
from pu_diffusion_pipeline.images.transforms import to_uint8
from pu_diffusion_pipeline.metrics.fidelity import features_of, frechet_distance
from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes
from pu_diffusion_pipeline.seeding import derive_seed

PROJECT = Path(__file__).resolve().parents[1]
BATCH = 250
Build = Callable[[dict], "diffusers.SchedulerMixin"]


def of(kind: str, **changes: object) -> Build:
    """A scheduler of diffusers with the forward process of the model."""
    return lambda config: getattr(diffusers, kind).from_config(config, **changes)


def solver(algorithm: str = "sde-dpmsolver++", **changes: object) -> Build:
    """DPM-Solver++, with the bound that the cosine schedule needs."""
    bound = {"algorithm_type": algorithm, "lambda_min_clipped": -5.1}
    return of("DPMSolverMultistepScheduler", **bound, **changes)


KARRAS = {"use_karras_sigmas": True}
BUILD: dict[str, Build] = {
    "Karras": solver(**KARRAS),
    "exp": solver(use_exponential_sigmas=True),
    "lu": solver(use_lu_lambdas=True),
    "lin": solver(),
    "trailing": solver(timestep_spacing="trailing"),
    "Karras, Heun's solver": solver(**KARRAS, solver_type="heun"),
    "Karras, order 1": solver(**KARRAS, solver_order=1),
    "DPM-Solver++, Karras": solver("dpmsolver++", **KARRAS),
    "UniPC, Karras": of("UniPCMultistepScheduler", **KARRAS),
    "SA-Solver, Karras": of("SASolverScheduler", **KARRAS, algorithm_type="data_prediction"),
    "DDIM, eta 1, trailing": of("DDIMScheduler", timestep_spacing="trailing"),
    "Euler ancestral": of("EulerAncestralDiscreteScheduler"),
}


def generator_of(index: int) -> torch.Generator:
    """The random stream of an image, that of `sampler.sample_images` for seed 0."""
    return torch.Generator().manual_seed(derive_seed(0, "starting_noise", index))


def drawn(name: str, steps: int, model: "diffusers.DDPMPipeline", count: int) -> np.ndarray:
    """(count, C, H, W) uint8 samples."""
    scheduler, unet, parts = BUILD[name](model.scheduler.config), model.unet.eval(), []
    size = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    own = {"DDIM, eta 1, trailing": {"eta": 1.0}}.get(name, {})
    precision = resolve_precision("auto", "cpu")
    with torch.inference_mode(), autocast("cpu", precision):
        for start in range(0, count, BATCH):
            streams = [generator_of(index) for index in range(start, min(start + BATCH, count))]
            images = torch.stack([torch.randn(size, generator=one) for one in streams])
            scheduler.set_timesteps(steps)
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(0)
            images *= scheduler.init_noise_sigma
            given = {"generator": streams, **own}
            if name.startswith("UniPC"):
                given = {}
            elif name.startswith("SA"):
                given = {"generator": streams[0]}
            for timestep in scheduler.timesteps:
                scaled = scheduler.scale_model_input(images, timestep)
                predicted = unet(scaled, timestep).sample.float()
                images = scheduler.step(predicted, timestep, images, **given).prev_sample
            parts.append(to_uint8(images).numpy())
    return np.concatenate(parts)


def main() -> None:
    """Print a row per sampler."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("samplers", nargs="+", metavar="NAME:STEPS", help=", ".join(BUILD))
    parser.add_argument("--images", type=int, default=500)
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT) as session:
        catalog = session.load_context().catalog
        judge, reference = catalog.load("judge"), catalog.load("reference_features")
    evaluation = open_loader(PROJECT / "conf", None, {}).final_parameters().evaluation
    model = as_trained(diffusers.DDPMPipeline.from_pretrained(given.model))
    for name, steps in (one.rsplit(":", 1) for one in given.samplers):
        begun = time.perf_counter()
        images = drawn(name, int(steps), model, given.images)
        seconds = time.perf_counter() - begun
        distance = frechet_distance(features_of(images, judge, evaluation, "cpu"), reference)
        rate = judged_normal(judge, predicted_classes(judge, images, BATCH)).mean()
        print(f"| {name} | {steps} | {distance:.1f} | {rate:.3f} | {seconds:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
