"""Weights that are no numbers are refused before any work is spent on them."""

import math

import pytest
import torch

from pu_diffusion_pipeline.diffusion.compute import Compute
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.options import SamplingOptions
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.errors import InvalidInput
from raw_files import tiny_unet


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_model_with_a_weight_that_is_no_number_is_not_sampled(value):
    denoiser = tiny_unet(1, 16)
    with torch.no_grad():
        denoiser.conv_out.bias[0] = value
    options = SamplingOptions(
        num_images=2, sampler="ddim", num_steps=1, karras_sigmas=False, batch_size=2, guidance=1.0
    )
    scheduler = build_noise_scheduler(50, "linear", "epsilon")
    with pytest.raises(InvalidInput, match=r"conv_out\.bias holds values that are not finite"):
        sample_images(denoiser, scheduler, options, seed=0, compute=Compute("cpu"))
