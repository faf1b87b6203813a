"""Use as a library, without Kedro and without parameters.yml."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap

import diffusers
import numpy as np
import pytest
import torch

import pu_diffusion_pipeline
from conftest import REPO
from pu_diffusion_pipeline import (
    LABELED_SENSITIVE,
    UNLABELED,
    Model,
    PositiveUnlabeled,
    cross_fitted_scores,
    denoising_error,
    estimate_class_prior,
    split_images,
)
from pu_diffusion_pipeline.diffusion.saved_pipeline import saved_pipeline
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from raw_files import tiny_unet

SIZE = 8


def example() -> str:
    """The lines that the package's documentation shows."""
    documentation = inspect.getdoc(pu_diffusion_pipeline)
    return textwrap.dedent(documentation[documentation.index("    import torch") :])


def some_images(count: int, value: float, seed: int) -> torch.Tensor:
    noise = torch.randn((count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(seed))
    return (value + 0.1 * noise).clamp(-1, 1)


def loss_of(denoiser, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The PU risk of all images, with the same noise for every denoiser."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(images.shape, generator=generator)
    timesteps = torch.randint(1000, (len(images),), generator=generator)
    with torch.inference_mode():
        error = denoising_error(denoiser, diffusers.DDPMScheduler(), images, noise, timesteps)
    return float(PositiveUnlabeled(beta=0.1)(error, labels)[0])


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_pages_show_the_same_lines(page):
    assert example().strip() in (REPO / page).read_text()


def test_the_code_of_the_page_runs_and_trains(monkeypatch, tmp_path, capsys):
    """Its very lines, on small images with a small denoiser and a larger learning rate."""
    code = re.findall(r"```python\n(.*?)```", (REPO / "docs/library.md").read_text(), re.DOTALL)
    small = tiny_unet(3, SIZE)
    monkeypatch.setattr(diffusers, "UNet2DModel", lambda **options: small)
    monkeypatch.chdir(tmp_path)
    unlabeled = torch.cat([some_images(90, -0.5, 0), some_images(10, 0.5, 1)])
    names = {"unlabeled": unlabeled, "sensitive": some_images(30, 0.5, 2), "num_steps": 60}
    exec(code[0].replace("lr=1e-4", "lr=1e-3"), names)
    images, labels = names["images"], names["labels"]
    assert labels.tolist() == [UNLABELED] * 100 + [LABELED_SENSITIVE] * 30
    assert names["denoiser"] is small
    after = loss_of(small, images, labels)
    monkeypatch.undo()
    assert after < 0.7 * loss_of(tiny_unet(3, SIZE), images, labels)
    monkeypatch.chdir(tmp_path)
    [folder] = re.findall(r'"(data/06_models/.*)"', "".join(code))
    saved_pipeline(small, names["noise_scheduler"]).save_pretrained(tmp_path / folder)
    for lines in code[1:]:
        exec(lines, names)
    assert names["prior"].estimate == pytest.approx(0.1, abs=0.05)
    assert str(names["prior"].estimate) in capsys.readouterr().out
    assert names["images"].shape == (16, 3, SIZE, SIZE)


def test_every_exported_name_is_there_and_no_other():
    for name in pu_diffusion_pipeline.__all__:
        assert getattr(pu_diffusion_pipeline, name) is not None
        assert name in dir(pu_diffusion_pipeline)
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        _ = pu_diffusion_pipeline.unknown


def test_type_checkers_see_the_names_that_are_exported():
    tree = ast.parse((REPO / "src/pu_diffusion_pipeline/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: statement.module.removeprefix("pu_diffusion_pipeline.")
        for statement in block.body
        for alias in statement.names
    }
    assert seen == pu_diffusion_pipeline._MODULES
    assert sorted(seen) == sorted(pu_diffusion_pipeline.__all__)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, pu_diffusion_pipeline;"
        "heavy = ('torch', 'numpy', 'kedro', 'diffusers', 'sklearn');"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_class_prior_can_be_estimated_from_two_arrays():
    noise = np.random.default_rng(0).integers(0, 100, (260, 1, 8, 8), dtype=np.uint8)
    bright, dark = 120 + noise[:60], noise[60:]
    unlabeled = np.concatenate([bright[40:], dark])  # 20 of 220 are sensitive
    scores = cross_fitted_scores(
        bright[:40], unlabeled, num_folds=4, num_components=8, num_epochs=5, seed=0
    )
    prior = estimate_class_prior(scores)
    assert prior.estimate == pytest.approx(20 / 220, abs=0.03)
    assert prior.upper > prior.estimate


NUMBERS = np.arange(4)
PIXELS = np.zeros((4, 1, 8, 8), np.uint8)
ERRORS = torch.ones(4)
IMAGES = torch.zeros(4, 1, 8, 8)
FITS = {"num_folds": 2, "num_components": 2, "num_epochs": 1, "seed": 0}


TIMES = torch.zeros(4, dtype=torch.int64)


def wider_unet():
    """One that predicts a variance too."""
    config = {**tiny_unet(1, SIZE).config, "out_channels": 2}
    return diffusers.UNet2DModel.from_config(config)


def errors_of(images=IMAGES, noise=IMAGES, timesteps=TIMES):
    return denoising_error(tiny_unet(1, SIZE), diffusers.DDPMScheduler(), images, noise, timesteps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PositiveUnlabeled(beta=1.0), "beta must be in [0, 1), got 1.0"),
        (lambda: PositiveUnlabeled(0.1, correction="abs"), "correction must be one of non_neg"),
        (
            lambda: PositiveUnlabeled(0.1)(ERRORS, torch.zeros(4)),
            "labels: expected int64, got float32",
        ),
        (
            lambda: PositiveUnlabeled(0.1)(ERRORS, torch.zeros(3, dtype=torch.int64)),
            "(B,) and (B,), got (4,) and (3,)",
        ),
        (lambda: errors_of(images=IMAGES[0]), "clean_images: expected (B, C, H, W) float32"),
        (lambda: errors_of(images=IMAGES.byte()), "clean_images: expected (B, C, H, W) float32"),
        (lambda: errors_of(noise=IMAGES[:3]), "noise: expected the shape (4, 1, 8, 8), got (3,"),
        (lambda: errors_of(timesteps=torch.zeros(3)), "timesteps: expected the shape (4,), got"),
        (
            lambda: cross_fitted_scores(PIXELS[:0], PIXELS, **FITS),
            "labeled_sensitive: expected images, (N, C, H, W) uint8, got (0, 1, 8, 8) uint8",
        ),
        (lambda: cross_fitted_scores(PIXELS, PIXELS / 2, **FITS), "unlabeled: expected images"),
        (lambda: cross_fitted_scores(PIXELS, PIXELS, model="x", **FITS), "model must be one of"),
        (
            lambda: cross_fitted_scores(PIXELS, PIXELS, model="cnn", encoder="x", **FITS),
            "encoder does not go with model cnn",
        ),
        (
            lambda: split_images(NUMBERS, NUMBERS > 9, (7,), {}, seed=0),
            "normal_classes: no image of class [7]",
        ),
        (
            lambda: split_images(NUMBERS, NUMBERS > 9, (0,), {"test": 9}, seed=0),
            "counts: test asks for 9 images",
        ),
        (
            lambda: cross_fitted_scores(PIXELS, PIXELS, **{**FITS, "num_folds": 1}),
            "num_folds: expected at least 2, got 1",
        ),
        (
            lambda: estimate_class_prior(Scores(np.zeros(30), np.zeros(30)), delta=0),
            "delta: expected a number between 0 and 1, got 0",
        ),
        (
            lambda: Model(diffusers.UNet2DModel((8, 8)), diffusers.DDPMScheduler()),
            "denoiser: expected config.sample_size to be the side of its images, got (8, 8)",
        ),
        (
            lambda: denoising_error(wider_unet(), diffusers.DDPMScheduler(), IMAGES, IMAGES, TIMES),
            "denoiser: expected a prediction of the shape (4, 1, 8, 8), got (4, 2, 8, 8)",
        ),
        (
            lambda: Model(tiny_unet(1, SIZE), diffusers.DDPMScheduler()).sample(0),
            "num_images: expected at least 1, got 0",
        ),
    ],
)
def test_a_bad_argument_is_named_and_no_key_of_the_parameters_is(call, message):
    with pytest.raises(InvalidInput) as refused:
        call()
    said = str(refused.value)
    assert message in said
    assert not re.search(r"data\.|class_prior|sampling\.|compute\.", said)


def test_drawing_leaves_the_denoiser_as_it_is():
    denoiser = tiny_unet(1, SIZE).train()
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    Model(denoiser, diffusers.DDPMScheduler()).sample(2, num_steps=2)
    assert denoiser.training
    assert not any("ByLength" in repr(one) for one in map(vars, denoiser.modules()))
    assert all(torch.equal(before[name], value) for name, value in denoiser.state_dict().items())


def test_a_half_precision_denoiser_trains_and_draws():
    denoiser = tiny_unet(1, SIZE).to(torch.bfloat16)
    half = IMAGES.bfloat16()
    error = denoising_error(denoiser, diffusers.DDPMScheduler(), half, half, TIMES)
    assert error.dtype == torch.float32
    assert Model(denoiser, diffusers.DDPMScheduler()).sample(2, num_steps=2).shape == (2, 1, 8, 8)
