"""Which scheduler of diffusers draws best from an exported folder, without our sampler.

python benchmarks/exported_schedulers.py [--images 500] [--only TEXT]

Needs `kedro run` of the embedded digits first: it reads the PU model, the judge and the test
images. About 20 minutes on one core; `--only` runs the rows whose name holds the text.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import Compute
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.diffusion.samplers import build_sampler
from pu_diffusion_pipeline.diffusion.saved_pipeline import saved_pipeline
from pu_diffusion_pipeline.metrics.fidelity import features_of, frechet_distance
from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

PROJECT = Path(__file__).resolve().parents[1]
BATCH = 250
TRAILING = {"timestep_spacing": "trailing"}
OWN = "the project's sampler"


def pipelines(model: "DiffusionPipeline") -> Iterator[tuple[str, "DiffusionPipeline", dict]]:
    """Name, pipeline and what its call is given."""
    from diffusers import (
        DDIMPipeline,
        DDIMScheduler,
        DDPMPipeline,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
    )

    unet, noise = model.unet, model.scheduler
    saved = saved_pipeline(unet, noise)
    yield "as it is saved", saved, {"num_inference_steps": 50}
    karras = DPMSolverMultistepScheduler.from_config(
        saved.scheduler.config, algorithm_type="sde-dpmsolver++", use_karras_sigmas=True
    )
    yield "its sde_dpm_solver++, Karras", DDPMPipeline(unet, karras), {"num_inference_steps": 30}
    for name, spacing in (
        ("sde_dpm_solver++", "trailing"),
        ("sde_dpm_solver++", "linspace"),
        ("dpm_solver++", "trailing"),
    ):
        config = build_sampler(noise, name).config
        solver = DPMSolverMultistepScheduler.from_config(config, timestep_spacing=spacing)
        yield f"{name}, {spacing}", DDPMPipeline(unet, solver), {"num_inference_steps": 30}
    ddpm = DDPMScheduler.from_config(noise.config, **TRAILING)
    ddim = DDIMScheduler.from_config(noise.config, **TRAILING)
    for steps in (50, 100):
        yield "ddpm, trailing", DDPMPipeline(unet, ddpm), {"num_inference_steps": steps}
    for eta in (0.0, 1.0):
        given = {"num_inference_steps": 50, "eta": eta}
        yield f"ddim, eta {eta:g}, trailing", DDIMPipeline(unet, ddim), given


def drawn(pipeline: "DiffusionPipeline", count: int, given: dict) -> np.ndarray:
    """(count, C, H, W) uint8 samples."""
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    parts = [
        pipeline(batch_size=BATCH, generator=generator, output_type="np", **given).images
        for _ in range(0, count, BATCH)
    ]
    return (np.concatenate(parts)[:count] * 255).round().astype(np.uint8).transpose(0, 3, 1, 2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    count, wanted = given.images, given.only
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT) as session:
        catalog = session.load_context().catalog
        model, judge = catalog.load("pu.model"), catalog.load("judge")
        reference = catalog.load("reference_features")
    parameters = open_loader(PROJECT / "conf", None, {}).final_parameters()

    def report(name: str, steps: int, images: np.ndarray) -> None:
        features = features_of(images, judge, parameters.evaluation, "cpu")
        rate = judged_normal(judge, predicted_classes(judge, images, BATCH)).mean()
        print(f"| {name}, {steps} | {frechet_distance(features, reference):.1f} | {rate:.3f} |")

    for name, pipeline, how in pipelines(model):
        if wanted in name:
            report(name, how["num_inference_steps"], drawn(pipeline, count, how))
    if wanted in OWN:
        sampling = parameters.sampling.model_copy(update={"num_images": count})
        own = sample_images(model.unet, model.scheduler, sampling, seed=0, compute=Compute("cpu"))
        report(OWN, sampling.num_steps, own)


if __name__ == "__main__":
    main()
