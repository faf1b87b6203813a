"""Recipes that were tried and not kept, each against the default: docs/results/recipes.md.

python benchmarks/candidates.py NAME ... [--seed 0] [--steps 250] [--images 1000]

NAME: `default`, `soap`, `schedule_free`, `linear_decay`, `rectified_flow`, `folded_32`,
`folded_64`, `transformer`. Trains PU on the embedded digits; prints seconds, the non-sensitive rate
and the Frechet distance. Each is put in the place of a function of the package.
"""

import argparse
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytorch_optimizer
import torch
from diffusers import DDPMScheduler, DiTTransformer2DModel, UNet2DModel
from kedro.framework.startup import bootstrap_project
from time_to_effect import PROJECT, Measure
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.noising import denoising_error, signal_and_noise_scale
from pu_diffusion_pipeline.seeding import derive_seed
from pu_diffusion_pipeline.training.loop import Learner

LOOP = "pu_diffusion_pipeline.training.loop"
START = "pu_diffusion_pipeline.training.start"
TRAIN = "pu_diffusion_pipeline.training.train"
Changes = dict[str, object]  # what is patched, to what


class Folded(UNet2DModel):
    """2x2 pixels are channels inside: the U-Net sees half of the size."""

    def forward(self, sample: Tensor, timestep: Tensor, **given: Tensor) -> object:
        """As UNet2DModel."""
        out = super().forward(functional.pixel_unshuffle(sample, 2), timestep)
        out.sample = functional.pixel_shuffle(out.sample, 2)
        return out


class Transformer(DiTTransformer2DModel):
    """A diffusion transformer (Peebles & Xie 2023) without classes."""

    def forward(self, sample: Tensor, timestep: Tensor, **given: Tensor) -> object:
        """As UNet2DModel."""
        timesteps = torch.as_tensor(timestep).expand(len(sample))
        classes = torch.zeros(len(sample), dtype=torch.long)
        return super().forward(sample, timestep=timesteps, class_labels=classes)


def folded(*widths: int) -> Changes:
    """A U-Net of these widths, the first one at 16x16."""
    num_levels = len(widths)

    def build(options: object, image_size: int, channels: int, seed: int, _: object) -> Folded:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "denoiser"))
            denoiser = Folded(
                sample_size=image_size // 2,
                in_channels=4 * channels,
                out_channels=4 * channels,
                block_out_channels=widths,
                layers_per_block=1,
                down_block_types=("DownBlock2D",) * num_levels,
                up_block_types=("UpBlock2D",) * num_levels,
                add_attention=False,
                norm_num_groups=8,
            )
        denoiser.register_to_config(sample_size=image_size, in_channels=channels)
        return denoiser

    return {f"{START}.build_denoiser": build}


def transformer() -> Changes:
    """64 patches of 4x4 pixels, 6 layers, width 192."""

    def build(options: object, image_size: int, channels: int, seed: int, _: object) -> Transformer:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "denoiser"))
            denoiser = Transformer(
                num_attention_heads=4,
                attention_head_dim=48,
                in_channels=channels,
                out_channels=channels,
                num_layers=6,
                sample_size=image_size,
                patch_size=4,
                num_embeds_ada_norm=1,
            )
        for block in denoiser.transformer_blocks:
            block.norm1.emb.class_embedder.dropout_prob = 0
        denoiser.register_to_config(num_class_embeds=None)
        return denoiser

    return {f"{START}.build_denoiser": build}


def rectified_flow() -> Changes:
    """x_t = (1 - t) x + t eps and the error of eps - x (Liu et al. 2023).

    Divided by sqrt((1 - t)^2 + t^2), x_t is a variance-preserving process with the signal-to-noise
    ratio ((1 - t) / t)^2, and the error is that of v times (signal + sigma)^2, from 1 to 2.
    """

    def build(num_train_timesteps: int, schedule: str, prediction_type: str) -> DDPMScheduler:
        t = (np.arange(num_train_timesteps) + 0.5) / num_train_timesteps
        alpha_bar = (1 - t) ** 2 / ((1 - t) ** 2 + t**2)
        betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
        return DDPMScheduler(
            num_train_timesteps=num_train_timesteps,
            beta_schedule=schedule,
            prediction_type=prediction_type,
            trained_betas=np.clip(betas, 1e-8, 0.999).tolist(),
        )

    def error(
        denoiser: object, scheduler: DDPMScheduler, *drawn: Tensor, **given: object
    ) -> Tensor:
        signal, sigma = signal_and_noise_scale(scheduler, drawn[2])
        plain = denoising_error(denoiser, scheduler, *drawn, **given)
        return plain * (signal + sigma).square().flatten()

    return {f"{START}.build_noise_scheduler": build, f"{LOOP}.denoising_error": error}


def soap() -> Changes:
    """SOAP (Vyas et al. 2024)."""

    def build(denoiser: UNet2DModel, options: object) -> torch.optim.Optimizer:
        weights = denoiser.parameters()
        return pytorch_optimizer.SOAP(weights, lr=3e-3, betas=(0.95, 0.95), weight_decay=0.0)

    return {f"{LOOP}.build_optimizer": build}


def schedule_free() -> Changes:
    """Schedule-free AdamW (Defazio et al. 2024): its own average, a constant learning rate."""
    plain = Learner.finished

    def build(denoiser: UNet2DModel, options: object) -> torch.optim.Optimizer:
        weights = denoiser.parameters()
        optimizer = pytorch_optimizer.ScheduleFreeAdamW(weights, lr=3e-3, betas=(0.9, 0.99))
        optimizer.train()
        return optimizer

    def finished(learner: Learner) -> UNet2DModel:
        learner.optimizer.optimizer.eval()
        return plain(learner)

    return {
        f"{LOOP}.build_optimizer": build,
        f"{LOOP}.cosine_with_warmup": _schedule(lambda step, num_steps: 1.0),
        f"{LOOP}.Learner.finished": finished,
    }


def linear_decay() -> Changes:
    """To 0, in the place of the cosine."""
    return {f"{LOOP}.cosine_with_warmup": _schedule(lambda step, num_steps: 1 - step / num_steps)}


def _schedule(factor: Callable[[int, int], float]) -> Callable[..., LambdaLR]:
    def build(optimizer: torch.optim.Optimizer, warmup_steps: int, num_steps: int) -> LambdaLR:
        def of_step(step: int) -> float:
            warm = min(1.0, (step + 1) / max(warmup_steps, 1))
            return warm * factor(max(step - warmup_steps, 0), num_steps - warmup_steps)

        return LambdaLR(optimizer, of_step)

    return build


CANDIDATES: dict[str, Callable[[], Changes]] = {
    "default": dict,
    "soap": soap,
    "schedule_free": schedule_free,
    "linear_decay": linear_decay,
    "rectified_flow": rectified_flow,
    "folded_32": lambda: folded(32, 64, 128, 128),
    "folded_64": lambda: folded(64, 128, 128),
    "transformer": transformer,
}


def main() -> None:
    """Train, sample and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=CANDIDATES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    measure = Measure(None, given.seed)
    for name in given.names:
        changes = {"seed": given.seed, "sampling": {"num_images": given.images}}
        if name == "schedule_free":
            changes["training"] = {"ema_decay": None}
        parameters = open_loader(PROJECT / "conf", None, changes).final_parameters()
        # The memory check knows UNet2DModel only.
        patched = {**CANDIDATES[name](), f"{TRAIN}.refuse_too_large": lambda *_: None}
        patches = [patch(target, value) for target, value in patched.items()]
        for one in patches:
            one.start()
        row = measure.row(name, parameters, given.steps, "pu")
        for one in patches:
            one.stop()
        print(
            f"{name}: {row.seconds:.1f} s, NSR {row.non_sensitive_rate:.3f}, "
            f"FD {row.frechet_distance:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
