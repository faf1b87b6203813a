"""The denoiser: diffusers' U-Net from our options (paper, Sec. 5.3)."""

from typing import TYPE_CHECKING

import torch

from pu_diffusion_pipeline.diffusion.options import DenoiserOptions
from pu_diffusion_pipeline.seeding import derive_seed

if TYPE_CHECKING:
    from diffusers import UNet2DModel


def build_denoiser(
    options: DenoiserOptions,
    image_size: int,
    channels: int,
    seed: int,
    num_conditions: int | None = None,
) -> "UNet2DModel":
    """A freshly initialised UNet2DModel; the same seed gives the same weights for every method.

    Args:
        options: the U-Net's shape.
        image_size: side of the images.
        channels: 1 or 3.
        seed: the run's seed.
        num_conditions: classes of conditional training. The embedding has one entry more, the last,
            which stands for no condition.
    """
    from diffusers import UNet2DModel

    levels = range(len(options.block_out_channels))
    attends = [level in options.attention_levels for level in levels]
    down = ["AttnDownBlock2D" if here else "DownBlock2D" for here in attends]
    up = ["AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "denoiser"))
        return UNet2DModel(
            sample_size=image_size,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=options.block_out_channels,
            layers_per_block=options.layers_per_block,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            add_attention=options.middle_attention,
            attention_head_dim=options.attention_head_dim,
            norm_num_groups=options.norm_num_groups,
            num_class_embeds=None if num_conditions is None else num_conditions + 1,
        )
