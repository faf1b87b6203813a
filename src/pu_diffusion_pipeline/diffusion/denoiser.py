"""The denoiser: diffusers' U-Net from our parameters (paper, Sec. 5.3)."""

from typing import Any

import torch

from pu_diffusion_pipeline.parameters import Denoiser
from pu_diffusion_pipeline.seeding import derive_seed


def build_denoiser(
    settings: Denoiser, image_size: int, channels: int, seed: int, num_conditions: int | None = None
) -> Any:
    """A freshly initialised UNet2DModel; the same seed gives the same weights, whatever the method.

    Args:
        settings: the U-Net's shape.
        image_size: side of the images.
        channels: 1 or 3.
        seed: the run's seed.
        num_conditions: classes of conditional training; the embedding's last entry, one more, stands for none.
    """
    from diffusers import UNet2DModel

    levels = range(len(settings.block_out_channels))
    attends = [level in settings.attention_levels for level in levels]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "denoiser"))
        return UNet2DModel(
            sample_size=image_size,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=settings.block_out_channels,
            layers_per_block=settings.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
            add_attention=settings.middle_attention,
            attention_head_dim=settings.attention_head_dim,
            norm_num_groups=settings.norm_num_groups,
            num_class_embeds=None if num_conditions is None else num_conditions + 1,
        )
