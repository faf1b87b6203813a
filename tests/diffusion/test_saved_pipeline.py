"""What a model is saved as: diffusers draws from it at once, and training's noise comes back."""

import pytest
import torch
from diffusers import (
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
)

from pu_diffusion_pipeline.datasets.folders import DiffusersPipelineDataset
from pu_diffusion_pipeline.diffusion.model import Model, load
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.errors import InvalidInput
from raw_files import tiny_unet

SIZE = 8


@pytest.fixture
def trained() -> DDPMPipeline:
    """As training leaves it: 1,000 time steps of the cosine schedule."""
    scheduler = build_noise_scheduler(1000, "squaredcos_cap_v2", "v_prediction")
    return DDPMPipeline(unet=tiny_unet(3, SIZE).eval(), scheduler=scheduler)


@pytest.fixture
def folder(trained, tmp_path):
    DiffusersPipelineDataset(filepath=str(tmp_path / "model")).save(trained)
    return tmp_path / "model"


def test_diffusers_draws_at_once_and_warns_of_nothing(folder, caplog, capfd):
    pipe = DiffusionPipeline.from_pretrained(folder)
    assert pipe(batch_size=2, output_type="np").images.shape == (2, SIZE, SIZE, 3)
    assert len(pipe.scheduler.timesteps) == 50
    said = capfd.readouterr()
    assert "expected" not in said.out + said.err + caplog.text  # diffusers on an unknown setting


def test_a_solver_with_karras_sigmas_can_be_built_from_its_configuration(folder):
    pipe = DDPMPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config, use_karras_sigmas=True
    )
    images = pipe(batch_size=2, num_inference_steps=30, output_type="np").images
    assert images.shape == (2, SIZE, SIZE, 3)
    for steps in range(2, 101):
        pipe.scheduler.set_timesteps(steps)
        first, *others = pipe.scheduler.timesteps.tolist()
        assert first not in others, steps  # else diffusers would start at the second of them


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("given", [{}, {"variance_type": "fixed_large", "clip_sample": False}])
def test_the_scheduler_of_the_training_comes_back(schedule, given, trained, tmp_path):
    trained.scheduler = DDPMScheduler(
        num_train_timesteps=60, beta_schedule=schedule, prediction_type="sample", **given
    )
    dataset = DiffusersPipelineDataset(filepath=str(tmp_path / "model"))
    dataset.save(trained)
    loaded = dataset.load().scheduler
    assert type(loaded) is DDPMScheduler
    torch.testing.assert_close(
        loaded.alphas_cumprod, trained.scheduler.alphas_cumprod, rtol=0, atol=0
    )
    for name, value in trained.scheduler.config.items():
        if not name.startswith("_"):
            assert loaded.config[name] == value, name
    assert not hasattr(loaded.config, "sigma_max")


def test_a_folder_that_ddpm_was_saved_to_gives_the_same_samples(trained, folder, tmp_path):
    trained.save_pretrained(tmp_path / "old")
    old = DiffusersPipelineDataset(filepath=str(tmp_path / "old")).load()
    new = DiffusersPipelineDataset(filepath=str(folder)).load()
    asked = {"num_images": 3, "seed": 5, "num_steps": 4}
    expected = Model(trained.unet, trained.scheduler).sample(**asked)
    for model in (Model(old.unet, old.scheduler), Model(new.unet, new.scheduler), load(folder)):
        assert torch.equal(model.sample(**asked), expected)


def test_samples_are_float_images_that_depend_on_the_seed(folder):
    model = load(folder)
    images = model.sample(3, num_steps=3, device="cpu")
    assert images.shape == (3, 3, SIZE, SIZE)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert torch.equal(model.sample(1, num_steps=3, batch_size=1)[0], images[0])
    assert not torch.equal(model.sample(3, num_steps=3, seed=1), images)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_images": 0}, "num_images: expected at least 1, got 0"),
        ({"num_images": 1, "num_steps": 1001}, "num_steps: expected 1 to 1000, got 1001"),
        ({"num_images": 1, "batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"num_images": 1, "device": "tpu"}, "device: expected auto, cuda, mps or cpu, got 'tpu'"),
    ],
)
def test_a_number_out_of_range_is_named_as_the_argument(given, message, folder):
    with pytest.raises(InvalidInput) as refused:
        load(folder).sample(**given)
    assert str(refused.value) == message


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"no model in .*it has no model_index.json"):
        load(tmp_path / "nowhere")
