"""A training that takes a fraction of a second, for tests of the trainer in one process and in several."""

from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.diffusion.trainer import Trained, Trainer
from pu_diffusion_pipeline.images.synthetic import synthetic_digits
from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.parameters import Parameters, load_parameters

CONF = Path(__file__).resolve().parents[1] / "conf"
NUM_STEPS = 8


RECIPE = {
    "batch_size": 8,
    "batches": "stratified",
    "num_steps": NUM_STEPS,
    "num_epochs": None,
    "learning_rate": 0.002,
    "weight_decay": 0.0,
    "adam_betas": [0.9, 0.99],
    "warmup_steps": 2,
    "max_grad_norm": 1.0,
    "ema_decay": 0.9,
    "log_every": 1,
    "checkpoint_every": 2,
}


def parameters(**training) -> Parameters:
    """The parameters of the test benchmark, a tiny U-Net on images of 16 x 16 pixels, with a recipe of our own."""
    merged = OmegaConf.merge(*(OmegaConf.load(CONF / name / "parameters.yml") for name in ("base", "test")))
    raw = OmegaConf.to_container(merged)
    raw["training"] |= {**RECIPE, **training}
    raw["noise"] = {"num_train_timesteps": 50, "schedule": "linear", "prediction_type": "v_prediction"}
    raw["denoiser"] = {
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "attention_levels": [1],
        "middle_attention": True,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return load_parameters(raw)


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


def trainer(
    method: str = "pu",
    store=None,
    seed: int = 0,
    precision: str = "fp32",
    device: str = "cpu",
    objective=None,
    options=None,
    reduction: str = "sum",
    **training,
):
    settings = parameters(**training)
    return Trainer(
        build_denoiser(settings.denoiser, 16, 1, seed),
        build_noise_scheduler(**settings.noise.model_dump()),
        objective or build_objective(method, 0.1, "non_negative", 0.2),
        settings.training,
        error_options={"error_space": "v_prediction", "reduction": reduction},
        seed=seed,
        device=device,
        precision=precision,
        checkpoints=store,
        sets=METHODS[method].sets,
        **(options or {}),
    )


def train(method: str = "pu", store=None, **options) -> Trained:
    return trainer(method, store, **options).fit(*images(), normal_images())


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trained.denoiser.parameters()])


def losses(trained: Trained) -> list[float]:
    return [row["loss"] for row in trained.history]
