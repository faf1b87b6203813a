from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pu_diffusion_pipeline.diffusion.noising import (
    TIMESTEPS,
    build_noise_scheduler,
    denoising_error,
    signal_and_noise_scale,
)
from pu_diffusion_pipeline.errors import InvalidInput

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
NUM_TIMESTEPS = 100
STEPS = torch.tensor([0, 1, 20, 50, 80, 99])
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACES = ("epsilon", "v_prediction")
SHAPE = (len(STEPS), 2, 4, 4)


class Answers:
    """A denoiser that answers what it was told, whatever it sees, and keeps what it saw."""

    def __init__(self, answer: torch.Tensor) -> None:
        self.answer, self.saw = answer, None

    def __call__(self, noisy_images: torch.Tensor, timesteps: torch.Tensor) -> SimpleNamespace:
        self.saw = noisy_images, timesteps
        return SimpleNamespace(sample=self.answer)


@pytest.fixture
def images_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(SHAPE, generator=generator) * 2 - 1, torch.randn(SHAPE, generator=generator)


def scheduler(prediction_type: str = "epsilon", schedule: str = "linear"):
    return build_noise_scheduler(NUM_TIMESTEPS, schedule, prediction_type)


def scales() -> tuple[np.ndarray, np.ndarray]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) of the linear schedule, from its definition."""
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, NUM_TIMESTEPS))[STEPS].reshape(-1, 1, 1, 1)
    return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


def target(prediction_type: str, clean_images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What a faultless denoiser of this type would say."""
    velocity = scheduler().get_velocity(clean_images, noise, STEPS)
    return {"epsilon": noise, "sample": clean_images, "v_prediction": velocity}[prediction_type]


def error_by_hand(predicts: str, space: str, predicted, clean_images, noise) -> np.ndarray:
    """|| predicted - true ||^2 of eps or v, in float64.

    Through the eps and x0 that the prediction stands for.
    """
    signal, sigma = scales()
    predicted, clean_images, noise = (
        tensor.double().numpy() for tensor in (predicted, clean_images, noise)
    )
    noisy_images = signal * clean_images + sigma * noise
    if predicts == "epsilon":
        epsilon, sample = predicted, (noisy_images - sigma * predicted) / signal
    elif predicts == "sample":
        epsilon, sample = (noisy_images - signal * predicted) / sigma, predicted
    else:
        epsilon = signal * predicted + sigma * noisy_images
        sample = signal * noisy_images - sigma * predicted
    if space == "epsilon":
        difference = epsilon - noise
    else:
        difference = (signal * epsilon - sigma * sample) - (signal * noise - sigma * clean_images)
    return (difference**2).sum(axis=(1, 2, 3))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_error_is_the_squared_difference_of_what_the_prediction_stands_for(
    predicts, space, images_and_noise
):
    clean_images, noise = images_and_noise
    predicted = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    error = denoising_error(
        Answers(predicted),
        scheduler(predicts),
        clean_images,
        noise,
        STEPS,
        error_space=space,
        reduction="sum",
    )
    assert error.shape == (len(STEPS),)
    assert error.dtype == torch.float32
    expected = error_by_hand(predicts, space, predicted, clean_images, noise)
    np.testing.assert_allclose(error, expected, rtol=2e-4)
    assert expected.min() > 0.01


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_a_faultless_denoiser_has_no_error(predicts, space, images_and_noise):
    answers = Answers(target(predicts, *images_and_noise))
    error = denoising_error(
        answers, scheduler(predicts), *images_and_noise, STEPS, error_space=space
    )
    np.testing.assert_allclose(error, 0, atol=1e-9)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_errors_on_v_and_on_eps_differ_by_the_factor_alpha_bar(predicts, images_and_noise):
    predicted = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    on_epsilon, on_v = (
        denoising_error(
            Answers(predicted), scheduler(predicts), *images_and_noise, STEPS, error_space=space
        )
        for space in SPACES
    )
    np.testing.assert_allclose(on_v * scales()[0].flatten() ** 2, on_epsilon, rtol=1e-4)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_error_does_not_depend_on_how_the_same_denoiser_is_parameterised(
    predicts, images_and_noise
):
    clean_images, noise = images_and_noise
    signal, sigma = (torch.from_numpy(scale).float() for scale in scales())
    wrong = 0.3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))  # of eps
    multiples = {"epsilon": 1.0, "v_prediction": 1 / signal, "sample": -sigma / signal}
    predicted = target(predicts, clean_images, noise) + multiples[predicts] * wrong
    error = denoising_error(Answers(predicted), scheduler(predicts), clean_images, noise, STEPS)
    np.testing.assert_allclose(error, wrong.square().sum((1, 2, 3)), rtol=5e-3)


def test_sum_is_the_mean_times_the_number_of_pixels(images_and_noise):
    predicted = torch.zeros(SHAPE)
    total, mean = (
        denoising_error(
            Answers(predicted), scheduler(), *images_and_noise, STEPS, reduction=reduction
        )
        for reduction in ("sum", "mean")
    )
    np.testing.assert_allclose(total, mean * 2 * 4 * 4, rtol=1e-6)
    np.testing.assert_allclose(total, images_and_noise[1].square().sum((1, 2, 3)), rtol=1e-6)


def test_denoiser_sees_the_noisy_images_and_timesteps_of_diffusers(images_and_noise):
    answers = Answers(torch.zeros(SHAPE))
    denoising_error(answers, scheduler(), *images_and_noise, STEPS)
    noisy_images, timesteps = answers.saw
    np.testing.assert_allclose(
        noisy_images, scheduler().add_noise(*images_and_noise, STEPS), atol=1e-6
    )
    assert torch.equal(timesteps, STEPS)


def test_error_is_float32_also_where_the_denoiser_computes_in_bfloat16(images_and_noise):
    answers = Answers(torch.zeros(SHAPE, dtype=torch.bfloat16))
    error = denoising_error(answers, scheduler(), *images_and_noise, STEPS)
    assert error.dtype == torch.float32
    np.testing.assert_allclose(error, images_and_noise[1].square().sum((1, 2, 3)), rtol=1e-6)


def test_error_is_finite_at_the_end_of_a_schedule_that_keeps_almost_no_signal():
    noise_scheduler = build_noise_scheduler(1000, "squaredcos_cap_v2", "v_prediction")
    shape, last = (1, 1, 4, 4), torch.tensor([999])
    clean_images, noise = torch.full(shape, 0.5), torch.ones(shape)
    signal, sigma = signal_and_noise_scale(noise_scheduler, last)
    predicted = signal * noise - sigma * clean_images + 0.25
    on_epsilon, on_v = (
        denoising_error(
            Answers(predicted), noise_scheduler, clean_images, noise, last, error_space=space
        )
        for space in SPACES
    )
    assert float(on_v) == pytest.approx(16 * 0.25**2)
    assert float(on_epsilon) == pytest.approx(16 * 0.25**2 * float(signal) ** 2)


def test_signal_and_noise_are_the_square_roots_of_alpha_bar_and_the_rest():
    signal, sigma = signal_and_noise_scale(scheduler(), STEPS)
    assert signal.shape == sigma.shape == (len(STEPS), 1, 1, 1)
    np.testing.assert_allclose(signal, scales()[0], rtol=1e-5)
    np.testing.assert_allclose(sigma, scales()[1], rtol=1e-3)


def test_scheduler_is_the_one_asked_for():
    built = build_noise_scheduler(50, "squaredcos_cap_v2", "sample")
    names = ("num_train_timesteps", "beta_schedule", "prediction_type")
    assert [built.config[name] for name in names] == [50, "squaredcos_cap_v2", "sample"]
    assert len(built.alphas_cumprod) == 50


def test_an_unknown_prediction_type_is_refused(images_and_noise):
    with pytest.raises(InvalidInput, match=r"prediction_type must be .*got 'flow'"):
        denoising_error(Answers(torch.zeros(SHAPE)), scheduler("flow"), *images_and_noise, STEPS)


@pytest.mark.parametrize(
    "option", [{"error_space": "sample"}, {"reduction": "average"}], ids=["space", "reduction"]
)
def test_an_unknown_option_is_refused_instead_of_taken_for_a_known_one(option, images_and_noise):
    with pytest.raises(
        InvalidInput,
        match=rf"^{next(iter(option))} must be .*{next(iter(option.values()))}",
    ):
        denoising_error(
            Answers(torch.zeros(SHAPE)), scheduler(), *images_and_noise, STEPS, **option
        )


def draw(kind: str, count: int, num_timesteps: int = NUM_TIMESTEPS, seed: int = 0) -> torch.Tensor:
    return TIMESTEPS[kind](count, num_timesteps, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", TIMESTEPS)
def test_every_timestep_is_as_frequent(kind):
    timesteps = torch.cat([draw(kind, 7, 5, seed) for seed in range(800)])
    assert timesteps.dtype == torch.int64
    assert np.bincount(timesteps).tolist() == pytest.approx([1120] * 5, abs=120)


@pytest.mark.parametrize("kind", TIMESTEPS)
def test_the_timestep_of_an_image_does_not_depend_on_its_place_in_the_batch(kind):
    means = torch.stack([draw(kind, 4, seed=seed) for seed in range(800)]).double().mean(0)
    np.testing.assert_allclose(means, (NUM_TIMESTEPS - 1) / 2, atol=4)


@pytest.mark.parametrize("kind", TIMESTEPS)
def test_timesteps_follow_from_the_generator_alone(kind):
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed + len(draws))
        draws.append(draw(kind, 8, seed=seed).tolist())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("kind", TIMESTEPS)
def test_no_images_get_no_timesteps(kind):
    assert draw(kind, 0).tolist() == []


@quick
@given(st.integers(1, 40), st.integers(2, 60), st.integers(0, 9))
def test_stratified_timesteps_are_one_from_each_equal_part_of_the_range(count, num_timesteps, seed):
    for part, timestep in enumerate(
        sorted(draw("stratified", count, num_timesteps, seed).tolist())
    ):
        assert part * num_timesteps // count <= timestep < (part + 1) * num_timesteps / count


def test_the_mean_over_stratified_timesteps_varies_less():
    spread = {
        kind: torch.stack([draw(kind, 10, seed=seed) for seed in range(100)]).double().mean(1).std()
        for kind in TIMESTEPS
    }
    assert spread["stratified"] < spread["independent"] / 5
