"""A training that takes a fraction of a second, in one process and in several."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline
from omegaconf import OmegaConf

from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.experiment.parameters import Parameters, load_parameters
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.synthetic import synthetic_digits
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.train import Parts, Trained, prepare
from pu_diffusion_pipeline.training.train import train as train_job

CONF = Path(__file__).resolve().parents[1] / "conf"
NUM_STEPS = 8


OPTIONS = {
    "batch_size": 8,
    "batches": "stratified",
    "num_steps": NUM_STEPS,
    "num_epochs": None,
    "learning_rate": 0.002,
    "muon_learning_rate": None,
    "weight_decay": 0.0,
    "adam_betas": [0.9, 0.99],
    "warmup_steps": 2,
    "max_grad_norm": 1.0,
    "ema_decay": 0.9,
    "log_every": 1,
    "checkpoint_every": 2,
}


def parameters(**training) -> Parameters:
    """The test benchmark's parameters: a tiny U-Net on 16 x 16 pixels, with options of our own."""
    raw = deepcopy(_of_the_test_benchmark())
    raw["training"] |= {**OPTIONS, **training}
    raw["noise"] = {
        "num_train_timesteps": 50,
        "schedule": "linear",
        "prediction_type": "v_prediction",
    }
    raw["denoiser"] = {
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "attention_levels": [1],
        "middle_attention": True,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return load_parameters(raw)


@cache
def _of_the_test_benchmark() -> dict:
    files = (CONF / name / "parameters.yml" for name in ("base", "test"))
    return OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, files)))


TRAINED = [name for name, method in METHODS.items() if method.trains]


def images() -> tuple[np.ndarray, np.ndarray]:
    """U, 40 images, and S, 12 images."""
    digits, classes = synthetic_digits(per_class=8, size=28)
    digits = digits[:, None, ::2, ::2]
    digits = np.pad(digits, ((0, 0), (0, 0), (1, 1), (1, 1)))
    even, odd = digits[classes % 2 == 0], digits[classes % 2 == 1]
    return np.concatenate([even[:36], odd[:4]]), odd[4:16]


def normal_images() -> np.ndarray:
    """N, 4 images."""
    return 255 - images()[0][:4]


def model(seed: int = 0, num_conditions: int | None = None) -> DDPMPipeline:
    """A tiny U-Net with random weights, and its forward process."""
    options = parameters()
    unet = build_denoiser(options.denoiser, 16, 1, seed, num_conditions)
    return DDPMPipeline(unet=unet, scheduler=build_noise_scheduler(**options.noise.model_dump()))


def job(
    method: str = "pu",
    seed: int = 0,
    objective: dict | None = None,
    compute: dict | None = None,
    num_conditions: int | None = None,
    **training,
) -> Job:
    """A job on a model of its own; `objective` and `compute` are options that differ."""
    options = parameters(**training)
    return Job(
        model(seed, num_conditions),
        method,
        0.1,
        seed,
        options.training,
        options.objective.model_copy(update=objective or {}),
        options.compute.model_copy(update=compute or {}),
        "train",
    )


def sets(pictures=None, conditions=None) -> TrainingSets:
    """The training sets; `conditions` of U and of S."""
    unlabeled, sensitive = pictures or images()
    of_unlabeled, of_sensitive = conditions or (None, None)
    return TrainingSets(
        ImageSet(unlabeled, conditions=of_unlabeled),
        ImageSet(sensitive, conditions=of_sensitive),
        None if conditions else ImageSet(normal_images()),
    )


def sets_for(method: str, pictures=None) -> TrainingSets:
    """The training sets, with probabilities of U where the method weighs it."""
    plain = sets(pictures)
    if not METHODS[method].weighs:
        return plain
    drawn = np.random.default_rng(0).uniform(size=len(plain.unlabeled))
    return plain.weighed(pd.DataFrame({"probability": drawn}))


def train(method: str = "pu", store=None, minimised=None, **options) -> Trained:
    """Train a job in this process; `minimised` is an objective in place of the method's."""
    return train_job(job(method, **options), sets_for(method), store, objective=minimised)


def prepared(method: str = "pu", minimised=None, **options) -> Parts:
    """The parts of a training's loop."""
    return prepare(job(method, **options), sets_for(method), minimised)


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trained.denoiser.parameters()])


def losses(trained: Trained) -> list[float]:
    return [row["loss"] for row in trained.history]


def without_speed(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The rows without what no two trainings share."""
    return [
        {name: value for name, value in row.items() if name != "images_per_second"}
        for row in history
    ]
