"""Use as a library, without Kedro and without parameters.yml."""

import ast
import inspect
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
    Compute,
    PositiveUnlabeled,
    SamplingOptions,
    cross_fitted_scores,
    denoising_error,
    estimate_class_prior,
    sample_images,
)
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
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


def test_readme_shows_the_same_lines():
    assert example().strip() in (REPO / "README.md").read_text()


def test_the_documented_example_trains(monkeypatch):
    """Its very lines, on small images with a small denoiser and a larger learning rate."""
    small = tiny_unet(3, SIZE)
    monkeypatch.setattr(diffusers, "UNet2DModel", lambda **options: small)
    unlabeled = torch.cat([some_images(90, -0.5, 0), some_images(10, 0.5, 1)])
    names = {"unlabeled": unlabeled, "sensitive": some_images(10, 0.5, 2), "num_steps": 60}
    exec(example().replace("lr=1e-4", "lr=1e-3"), names)
    images = names["images"]
    labels = names["labels"]
    assert labels.tolist() == [UNLABELED] * 100 + [LABELED_SENSITIVE] * 10
    assert names["denoiser"] is small
    after = loss_of(small, images, labels)
    monkeypatch.undo()
    before = loss_of(tiny_unet(3, SIZE), images, labels)
    assert after < 0.7 * before


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


def test_images_can_be_sampled_without_any_file():
    options = SamplingOptions(
        num_images=2, sampler="ddim", num_steps=2, karras_sigmas=False, guidance=1.0, batch_size=2
    )
    scheduler = build_noise_scheduler(50, "linear", "epsilon")
    images = sample_images(tiny_unet(3, SIZE), scheduler, options, seed=0, compute=Compute("cpu"))
    assert images.shape == (2, 3, SIZE, SIZE)
    assert images.dtype == np.uint8


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
