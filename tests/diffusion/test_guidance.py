"""Laws of sampling that is pushed away from another model."""

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline

from diffusion.test_sampler import scheduler, settings, tiny_denoiser
from pu_diffusion_pipeline.diffusion.compute import Compute
from pu_diffusion_pipeline.diffusion.guidance import Away, PushedAway
from pu_diffusion_pipeline.diffusion.options import GuidingOptions
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.errors import InvalidInput


def guiding(weight: float = 2.0, first: int = 0, end: int = 1000) -> GuidingOptions:
    return GuidingOptions(weight=weight, timesteps=(first, end))


def model(seed: int, **changes) -> DDPMPipeline:
    return DDPMPipeline(tiny_denoiser(seed), scheduler(**changes))


def drawn(away: Away | None, sampler: str = "ddim") -> np.ndarray:
    plain, how = model(0), {"seed": 0, "compute": Compute("cpu")}
    return sample_images(plain.unet, plain.scheduler, settings(sampler), away=away, **how)


def away_from(other: DDPMPipeline, **changes) -> Away:
    return Away.from_model(other, model(0), guiding(**changes))


@torch.no_grad()
def test_the_prediction_is_the_models_plus_weight_times_what_the_other_lacks():
    one, other = tiny_denoiser(0), tiny_denoiser(1)
    images = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    pushed = PushedAway(one, Away(other, 2.0, 0, 1000))(images, torch.tensor(30)).sample
    here, there = (net(images, torch.tensor(30)).sample for net in (one, other))
    torch.testing.assert_close(pushed, here + 2.0 * (here - there))


def test_away_from_itself_is_the_plain_model():
    np.testing.assert_array_equal(drawn(away_from(model(0))), drawn(None))


def test_it_acts_between_the_timesteps_only():
    plain = drawn(None)
    np.testing.assert_array_equal(drawn(away_from(model(1), first=50)), plain)  # T is 50
    assert (drawn(away_from(model(1))) != plain).any()
    early, late = drawn(away_from(model(1), first=25)), drawn(away_from(model(1), end=25))
    assert (early != late).any()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: model(1, schedule="squaredcos_cap_v2"), "differ in beta_schedule: linear and"),
        (lambda: model(1, prediction_type="v_prediction"), "differ in prediction_type"),
    ],
)
def test_models_of_another_noise_are_refused(other, message):
    with pytest.raises(InvalidInput, match=message):
        away_from(other())


@pytest.mark.parametrize("timesteps", [(400, 400), (400, 100)])
def test_a_reversed_interval_is_refused(timesteps):
    with pytest.raises(ValueError, match=r"\[first, end\] with first < end"):
        GuidingOptions(weight=1.0, timesteps=timesteps)
