"""The relearning check: what is trained, what is drawn, and that it is unprotected training."""

import shutil

import numpy as np
import pandas as pd
import pytest

from conftest import REPO
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.reports.relearning import sentence
from pu_diffusion_pipeline.training.options import RelearningOptions
from pu_diffusion_pipeline.training.relearning import relearn


@pytest.fixture(scope="module")
def parts(finished_run):
    """Parameters of the tiny benchmark, and a function that opens its trained PU model and U."""
    from diffusers import DDPMPipeline

    parameters = open_loader(REPO / "conf", "test", {}).final_parameters()
    folder = finished_run / "data/06_models/test/pu/beta_0.1-seed_0/model"

    def open_parts():
        denoiser, scheduler = load_pretrained(
            str(folder), image_size=16, channels=1, noise=parameters.noise
        )
        unlabeled = ImageSet.from_pretrained(finished_run / "data/03_primary/test/seed_0/unlabeled")
        return DDPMPipeline(unet=denoiser, scheduler=scheduler), unlabeled

    return parameters, open_parts


def relearned(parts, every: int = 2, num_steps: int = 4) -> ImageSet:
    parameters, open_parts = parts
    model, unlabeled = open_parts()
    return relearn(
        model,
        unlabeled,
        RelearningOptions(in_report=False, num_steps=num_steps, every=every, num_images=6),
        parameters.training,
        parameters.objective,
        parameters.compute,
        parameters.sampling,
        parameters.seed,
    )


def test_samples_are_drawn_before_the_first_step_and_every_so_often(parts):
    samples = relearned(parts)
    assert samples.manifest["steps"] == [0, 2, 4]
    assert len(samples) == 3 * 6


def test_the_first_samples_are_those_of_the_trained_model(parts):
    parameters, open_parts = parts
    model, _ = open_parts()
    expected = sample_images(
        model.unet,
        model.scheduler,
        parameters.sampling.model_copy(update={"num_images": 6}),
        seed=parameters.seed,
        compute=resolve_compute(parameters.compute),
    )
    np.testing.assert_array_equal(relearned(parts).images[:6], expected)


def test_later_samples_differ_and_a_second_check_gives_the_same(parts):
    samples = relearned(parts)
    assert not np.array_equal(samples.images[:6], samples.images[6:12])
    np.testing.assert_array_equal(samples.images, relearned(parts).images)


def test_a_conditional_model_is_refused(parts):
    parameters, open_parts = parts
    model, unlabeled = open_parts()
    conditional = ImageSet(unlabeled.images, conditions=np.zeros(len(unlabeled), np.int64))
    with pytest.raises(InvalidInput, match="expected an unconditional model"):
        relearn(
            model,
            conditional,
            RelearningOptions(in_report=False, num_steps=2, every=1, num_images=6),
            parameters.training,
            parameters.objective,
            parameters.compute,
            parameters.sampling,
            0,
        )


def test_the_pipeline_writes_rates_and_a_page(run, finished_run, tmp_path):
    shutil.copytree(finished_run / "data", tmp_path / "data")
    run(tmp_path, "relearn", relearning={"num_steps": 4, "every": 4, "num_images": 8})
    (path,) = (tmp_path / "data/07_model_output/test/pu").glob("*/relearning/rates.csv")
    rates = pd.read_csv(path)
    assert list(rates["step"]) == [0, 4]
    assert (rates["low"] <= rates["non_sensitive_rate"]).all()
    assert (rates["non_sensitive_rate"] <= rates["high"]).all()
    (page,) = (tmp_path / "data/08_reporting/test").glob("*/relearning.html")
    assert "The judge counted the rates" in page.read_text()


def test_a_report_that_shows_it_has_the_curve_and_others_have_not(run, finished_run, tmp_path):
    shutil.copytree(finished_run / "data", tmp_path / "data")
    check = {"num_steps": 4, "every": 4, "num_images": 8}
    run(tmp_path, "relearn", relearning=check)
    reports = tmp_path / "data/08_reporting/test"
    title = "How fast sensitive images come back"
    run(tmp_path, "report", relearning=check)
    assert all(title not in path.read_text() for path in reports.glob("*/report.html"))
    run(tmp_path, "report", relearning={**check, "in_report": True})
    (page,) = (path for path in reports.glob("*/report.html") if title in path.read_text())
    assert "Fine-tuned on U for 4 steps" in page.read_text()


@pytest.mark.parametrize(
    ("lows", "expected"),
    [
        (
            [0.93, 0.90, 0.86],
            "From step 40 on its interval reaches the 13.0 % of unsupervised training.",
        ),
        ([0.93, 0.92, 0.91], "The 13.0 % of unsupervised training are not reached."),
    ],
)
def test_the_sentence_says_when_the_protection_is_gone(lows, expected):
    table = pd.DataFrame(
        {"step": [0, 20, 40], "non_sensitive_rate": [0.95, 0.93, 0.9], "low": lows, "high": 0.97}
    )
    said = sentence(table, plain=0.87)
    assert said.startswith("Fine-tuned on U for 40 steps, the PU model goes from 5.0 % to 10.0 %")
    assert said.endswith(expected)


def test_looks_further_apart_than_the_training_is_long_are_refused():
    with pytest.raises(ValueError, match="every must divide num_steps"):
        RelearningOptions(in_report=False, num_steps=10, every=4, num_images=8)
