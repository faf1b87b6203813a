import multiprocessing
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from omegaconf import OmegaConf

from pu_diffusion_pipeline.diffusion.compute import Compute
from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.guidance import Away
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.options import ComputeOptions, DenoiserOptions, SamplingOptions
from pu_diffusion_pipeline.diffusion.sampler import (
    Drawing,
    balanced_conditions,
    build_sampler,
    sample_images,
)
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.pipelines.sampling.nodes import sample_filtered
from pu_diffusion_pipeline.positive_unlabeled.options import FilteringOptions

CONF = Path(__file__).resolve().parents[2] / "conf"
SAMPLERS = [
    ("ddpm", None),
    ("ddim", None),
    ("dpm_solver++", None),
    ("dpm_solver++", "karras"),
    ("sde_dpm_solver++", "karras"),
    ("sde_dpm_solver++", "exponential"),
]
SCHEDULES = ["linear", "squaredcos_cap_v2"]
every_sampler = pytest.mark.parametrize(("sampler", "sigmas"), SAMPLERS)


def settings(sampler: str = "ddim", sigmas: str | None = None, **changes) -> SamplingOptions:
    usual = {
        "num_images": 6,
        "sampler": sampler,
        "num_steps": 5,
        "karras_sigmas": sigmas == "karras",
        "exponential_sigmas": sigmas == "exponential",
        "batch_size": 4,
    }
    return SamplingOptions(**{"guidance": 1.0, **usual, **changes})


def tiny_denoiser(seed: int = 0):
    merged = OmegaConf.merge(
        *(OmegaConf.load(CONF / name / "parameters.yml") for name in ("base", "test"))
    )
    return build_denoiser(
        DenoiserOptions(**OmegaConf.to_container(merged.denoiser)),
        image_size=16,
        channels=1,
        seed=seed,
    )


def scheduler(schedule: str = "linear", prediction_type: str = "epsilon"):
    return build_noise_scheduler(50, schedule, prediction_type)


def sample(
    denoiser, options: SamplingOptions, noise_scheduler=None, seed: int = 0, precision: str = "fp32"
) -> np.ndarray:
    noise_scheduler = noise_scheduler or scheduler()
    return sample_images(
        denoiser, noise_scheduler, options, seed=seed, compute=Compute("cpu", precision)
    )


def starting_noise(denoiser, options: SamplingOptions, seed: int = 0) -> torch.Tensor:
    """What the denoiser sees first, for each batch."""
    seen = []
    denoiser.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    sample(denoiser, options, seed=seed)
    return torch.cat(seen[:: options.num_steps])


@every_sampler
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_sampler_gives_images_and_the_same_ones_again(sampler, sigmas, schedule):
    denoiser, options = tiny_denoiser(), settings(sampler, sigmas)
    images = sample(denoiser, options, scheduler(schedule))
    assert images.shape == (6, 1, 16, 16)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(sample(denoiser, options, scheduler(schedule)), images)
    assert len(np.unique(images.reshape(6, -1), axis=0)) == 6
    other = sample(denoiser, options, scheduler(schedule), seed=1)
    assert (other != images).mean() > 0.5


def test_image_i_starts_from_the_same_noise_for_every_denoiser():
    one, other = (starting_noise(tiny_denoiser(seed), settings()) for seed in (0, 1))
    assert torch.equal(one, other)
    assert one.shape == (6, 1, 16, 16)
    assert one.mean() == pytest.approx(0, abs=0.1)
    assert one.std() == pytest.approx(1, abs=0.1)
    assert len(torch.unique(one.flatten(1), dim=0)) == 6


@every_sampler
def test_starting_noise_does_not_depend_on_sampler_batch_size_or_number_of_images(sampler, sigmas):
    reference = starting_noise(tiny_denoiser(), settings(num_images=8, batch_size=8))
    noise = starting_noise(
        tiny_denoiser(), settings(sampler, sigmas, num_images=5, batch_size=2, num_steps=3)
    )
    assert torch.equal(noise, reference[:5])
    assert not torch.equal(
        starting_noise(tiny_denoiser(), settings(num_images=8, batch_size=8), seed=1), reference
    )


@every_sampler
def test_images_do_not_depend_on_the_batch_size(sampler, sigmas):
    images = [
        sample(tiny_denoiser(), settings(sampler, sigmas, num_images=7, batch_size=size)).astype(
            int
        )
        for size in (7, 3, 1)
    ]
    assert np.abs(images[0] - images[1]).max() <= 1
    assert np.abs(images[0] - images[2]).max() <= 1


def test_images_do_not_depend_on_global_random_state_and_leave_it_alone():
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        drawn.append(sample(tiny_denoiser(), settings("ddpm")))
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(*drawn)


class KnowsTheImage(torch.nn.Module):
    """A denoiser that always points at one image: noise = (x_t - signal image) / sigma."""

    def __init__(self, image: torch.Tensor, noise_scheduler) -> None:
        super().__init__()
        self.image, self.noise_scheduler, self.device = image, noise_scheduler, torch.device("cpu")
        self.config = {"in_channels": image.shape[0], "sample_size": image.shape[-1]}

    def forward(self, noisy_images: torch.Tensor, timestep: torch.Tensor) -> SimpleNamespace:
        alpha_bar = self.noise_scheduler.alphas_cumprod[timestep.long()]
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        noise = (noisy_images - signal * self.image) / sigma
        answers = {
            "epsilon": noise,
            "sample": self.image.expand_as(noisy_images),
            "v_prediction": signal * noise - sigma * self.image,
        }
        return SimpleNamespace(sample=answers[self.noise_scheduler.config.prediction_type])


def known_image(channels: int = 3) -> torch.Tensor:
    return torch.linspace(-0.9, 0.9, channels * 16 * 16).view(channels, 16, 16)


def in_grey_levels(image: torch.Tensor) -> np.ndarray:
    return np.round((image.numpy().astype(float) + 1) * 127.5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm_solver++", "sde_dpm_solver++"])
def test_a_denoiser_that_always_points_at_one_image_gives_that_image(
    sampler, prediction_type, schedule
):
    noise_scheduler = scheduler(schedule, prediction_type)
    images = sample(
        KnowsTheImage(known_image(), noise_scheduler), settings(sampler), noise_scheduler
    )
    assert images.shape == (6, 3, 16, 16)
    assert np.abs(images - in_grey_levels(known_image())).max() <= 1


@pytest.mark.parametrize("sigmas", ["karras", "exponential"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_other_sigmas_end_at_the_image_too(schedule, sigmas):
    noise_scheduler = scheduler(schedule, "sample")
    images = sample(
        KnowsTheImage(known_image(), noise_scheduler),
        settings("dpm_solver++", sigmas),
        noise_scheduler,
    )
    assert np.abs(images - in_grey_levels(known_image())).max() <= 1


def test_a_timestep_that_rounding_names_twice_is_still_two_steps():
    """Karras sigmas of the cosine schedule: of 1,000, the first steps differ by less than one."""
    noise_scheduler = build_noise_scheduler(1000, "squaredcos_cap_v2", "sample")
    denoiser, seen = KnowsTheImage(known_image(), noise_scheduler), []
    denoiser.register_forward_pre_hook(lambda module, given: seen.append(int(given[1])))
    images = sample(
        denoiser, settings("dpm_solver++", "karras", num_images=2, num_steps=15), noise_scheduler
    )
    assert len(seen) == 15
    assert seen[0] == seen[1], "else this tests nothing"
    assert np.abs(images - in_grey_levels(known_image())).max() <= 1


@pytest.mark.parametrize("num_steps", [1, 15, 40])
@every_sampler
def test_the_denoiser_is_asked_once_a_step_from_noisy_to_clean(sampler, sigmas, num_steps):
    denoiser, seen = tiny_denoiser(), []
    denoiser.register_forward_pre_hook(lambda module, given: seen.append(float(given[1])))
    options = settings(sampler, sigmas, num_images=2, num_steps=num_steps)
    sample(denoiser, options, scheduler("squaredcos_cap_v2", "v_prediction"))
    assert len(seen) == num_steps
    assert seen == sorted(seen, reverse=True)


def test_bfloat16_gives_nearly_the_same_images():
    options = settings("ddim")
    full, half = (
        sample(tiny_denoiser(), options, precision=precision).astype(int)
        for precision in ("fp32", "bf16")
    )
    assert np.abs(full - half).mean() < 3
    assert (full != half).any()


def test_samplers_keep_the_forward_process_they_were_trained_with():
    for name, sigmas in SAMPLERS:
        built = build_sampler(scheduler("squaredcos_cap_v2", "v_prediction"), name, sigmas)
        assert built.config.prediction_type == "v_prediction"
        np.testing.assert_allclose(
            built.alphas_cumprod, scheduler("squaredcos_cap_v2").alphas_cumprod, rtol=1e-6
        )
    assert build_sampler(scheduler(), "dpm_solver++", "karras").config.use_karras_sigmas is True
    assert build_sampler(scheduler(), "dpm_solver++").config.algorithm_type == "dpmsolver++"
    assert build_sampler(scheduler(), "sde_dpm_solver++").config.algorithm_type == "sde-dpmsolver++"


@pytest.mark.parametrize("name", ["ddpm", "ddim"])
def test_the_first_step_is_from_pure_noise_whatever_their_number(name):
    noise = scheduler()
    last = noise.config.num_train_timesteps
    for num_steps in range(1, last + 1):
        built = build_sampler(noise, name, num_steps=num_steps)
        built.set_timesteps(num_steps)
        assert built.timesteps[0] >= last - -(-last // num_steps)  # at most a step below T


def test_images_that_are_not_finite_are_refused():
    noise = scheduler("squaredcos_cap_v2", "v_prediction")
    last = noise.config.num_train_timesteps  # two steps of the solver fall together
    with pytest.raises(InvalidInput, match=r"are not finite; take fewer steps"):
        sample(
            tiny_denoiser(),
            settings("dpm_solver++", num_images=2, num_steps=last),
            noise,
        )


def test_an_unknown_sampler_is_refused_naming_the_known_ones():
    with pytest.raises(
        InvalidInput,
        match=r"sampler must be one of ddpm, .*, sde_dpm_solver\+\+, got 'euler'",
    ):
        build_sampler(scheduler(), "euler")


# --- conditions -----------------------------------------------------------------------------------


def conditional_denoiser():
    merged = OmegaConf.merge(
        *(OmegaConf.load(CONF / name / "parameters.yml") for name in ("base", "test"))
    )
    denoiser = build_denoiser(
        DenoiserOptions(**OmegaConf.to_container(merged.denoiser)), 16, 1, 0, num_conditions=3
    )
    with torch.no_grad():  # a fresh embedding is small: make its effect visible
        denoiser.class_embedding.weight.mul_(20)
    return denoiser


def sample_conditional(denoiser, conditions, **changes) -> np.ndarray:
    options = settings(num_images=len(conditions), **changes)
    asked = np.array(conditions, dtype=np.int64)
    return sample_images(
        denoiser, scheduler(), options, seed=0, compute=Compute("cpu"), conditions=asked
    )


def test_all_conditions_are_asked_for_equally_often():
    assert balanced_conditions(7, 3).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert balanced_conditions(7, None) is None


def test_images_depend_on_their_own_condition_only():
    denoiser = conditional_denoiser()
    one, other = (
        sample_conditional(denoiser, [0, 1, 2, 0]),
        sample_conditional(denoiser, [0, 2, 2, 0]),
    )
    np.testing.assert_array_equal(one[[0, 2, 3]], other[[0, 2, 3]])
    assert (one[1] != other[1]).mean() > 0.1


def test_guidance_of_zero_ignores_the_condition_and_of_one_is_the_plain_conditional_denoiser():
    denoiser = conditional_denoiser()
    ignored = sample_conditional(denoiser, [0, 1, 2, 0], guidance=0.0)
    np.testing.assert_array_equal(ignored, sample_conditional(denoiser, [2, 2, 0, 1], guidance=0.0))
    plain = sample_conditional(denoiser, [0, 1, 2, 0], guidance=1.0).astype(int)
    nearly = sample_conditional(denoiser, [0, 1, 2, 0], guidance=1.0 + 1e-9).astype(int)
    assert np.abs(plain - nearly).max() <= 1
    assert (sample_conditional(denoiser, [0, 1, 2, 0], guidance=3.0) != plain).mean() > 0.1


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(failure, monkeypatch, caplog):
    from pu_diffusion_pipeline.diffusion import sampler

    expected, sizes = sample(tiny_denoiser(), settings(num_images=11, batch_size=8)), []
    whole = sampler._sample_batch

    def small_memory(denoiser, built, num_steps, starting_noise):
        sizes.append(len(starting_noise.noisy_images))
        if sizes[-1] > 2:
            raise failure
        return whole(denoiser, built, num_steps, starting_noise)

    monkeypatch.setattr(sampler, "_sample_batch", small_memory)
    images = sample(tiny_denoiser(), settings(num_images=11, batch_size=8))
    np.testing.assert_array_equal(images, expected)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert "8 images at a time do not fit into memory: going on with 4" in caplog.text


@pytest.mark.parametrize(
    "failure", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("another one")]
)
def test_an_image_that_does_not_fit_alone_and_another_error_are_raised(failure, monkeypatch):
    from pu_diffusion_pipeline.diffusion import sampler

    def never(*arguments):
        raise failure

    monkeypatch.setattr(sampler, "_sample_batch", never)
    with pytest.raises(RuntimeError, match=str(failure)):
        sample(tiny_denoiser(), settings())


def test_the_memory_layout_makes_no_difference_but_rounding():
    plain = sample(tiny_denoiser(), settings())
    denoiser = tiny_denoiser()
    images = sample_images(
        denoiser,
        scheduler(),
        settings(),
        seed=0,
        compute=Compute("cpu", channels_last=True),
    )
    assert np.abs(images.astype(int) - plain).max() <= 1


def test_images_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    images = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        images.append(sample(tiny_denoiser(), settings()).astype(int))
    torch.set_num_threads(before)
    assert np.abs(images[0] - images[1]).max() <= 1


# --- several processes ----------------------------------------------------------------------------


def parts(**changes) -> list[range]:
    return Drawing(None, None, settings(**changes), 0, Compute("cpu"), None, None).parts


def test_processes_share_whole_batches_as_one_process_makes_them():
    assert parts(num_images=22, batch_size=4) == [range(22)]
    shared = parts(num_images=22, batch_size=4, num_processes=4)
    assert shared == [range(8), range(8, 16), range(16, 20), range(20, 22)]
    assert parts(num_images=6, batch_size=4, num_processes=9) == [range(4), range(4, 6)]
    assert parts(num_images=3, batch_size=4, num_processes=9) == [range(3)]


def in_processes(num_processes: int, kind: str = "plain") -> np.ndarray:
    """Images of each kind of drawing, three batches of them, the last one smaller."""
    denoiser = conditional_denoiser() if kind == "conditional" else tiny_denoiser()
    how = {"away": Away(tiny_denoiser(1), 0.5, 0, 50)} if kind == "guided" else {}
    if kind == "conditional":
        how = {"conditions": balanced_conditions(10, 3)}
    options = settings(
        "sde_dpm_solver++",
        num_images=10,
        num_processes=num_processes,
        guidance=2.0,
    )
    compute = Compute("cpu", "bf16" if kind == "bf16" else "fp32")
    return sample_images(denoiser, scheduler(), options, seed=0, compute=compute, **how)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["guided", "plain", "conditional", "bf16"])
def test_two_processes_draw_the_same_bytes_as_one_with_as_many_threads(kind):
    np.testing.assert_array_equal(in_processes(2, kind), in_processes(1, kind))


@pytest.mark.slow
def test_filtered_samples_are_the_same_from_two_processes():
    def filtered(num_processes: int) -> np.ndarray:
        drawn = sample_filtered(
            SimpleNamespace(probabilities=lambda images: images.mean((1, 2, 3)) / 255),
            FilteringOptions(share=0.3),
            settings(num_processes=num_processes),
            method="pu_filtered",
            model=SimpleNamespace(unet=tiny_denoiser(), scheduler=scheduler()),
            training_manifest={"method": "pu"},
            compute=ComputeOptions(
                device="cpu", precision="fp32", channels_last=False, compile=False
            ),
            num_conditions=None,
            seed=0,
        )
        assert drawn.manifest["filtered"] == {"num_drawn": 9, "num_dropped": 3}
        return drawn.images

    np.testing.assert_array_equal(filtered(2), filtered(1))


def kill_one_process() -> None:
    while True:
        for process in psutil.Process().children():
            if any("spawn_main" in word for word in process.cmdline()):
                process.kill()
                return
        time.sleep(0.01)


def test_a_killed_process_is_one_message_and_the_same_call_then_draws_all():
    killer = threading.Thread(target=kill_one_process)
    killer.start()
    with pytest.raises(ProcessFailed, match=r"Process . of 2 was killed .*Run the same command"):
        in_processes(2)
    killer.join()
    assert multiprocessing.active_children() == []
    np.testing.assert_array_equal(in_processes(2), in_processes(1))


def test_more_processes_than_gpus_are_refused_before_anything_is_drawn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    options = settings(num_processes=2)
    with pytest.raises(
        InvalidInput, match=r"sampling\.num_processes must be at most 1, the GPUs .*, got 2"
    ):
        sample_images(tiny_denoiser(), scheduler(), options, seed=0, compute=Compute("cuda"))
