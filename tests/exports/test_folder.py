"""What `kedro export` writes: its files, and that diffusers alone draws from it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import REPO
from exports.conftest import MODEL, OUTPUT, typed
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained
from pu_diffusion_pipeline.diffusion.weights_check import weights_digest
from pu_diffusion_pipeline.exports.card import CardOptions
from pu_diffusion_pipeline.exports.finished_run import SETS, FinishedRun
from pu_diffusion_pipeline.exports.folder import write_folder

FILES = {
    "README.md",
    "samples.png",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
}
# In a process of its own: neither this package nor Kedro can be imported there.
DRAW = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pu_diffusion_pipeline", "kedro", "pydantic"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
try:
    import pu_diffusion_pipeline
except ModuleNotFoundError:
    pass
else:
    sys.exit("the package can be imported")

import torch
from diffusers import DiffusionPipeline

def draw(folder, **given):
    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipe(
        batch_size=16, generator=generator, output_type="np", **given
    ).images
    return [type(pipe).__name__, list(images.shape), float(images.std()), images.tolist()]

plain, conditional = sys.argv[1:]
classes = [[0] * 16, [1] * 16]
print(json.dumps({
    "plain": draw(plain),
    "few steps": draw(plain, num_inference_steps=30),
    "classes": [
        draw(conditional, class_labels=labels, num_inference_steps=30) for labels in classes
    ],
}))
"""


def conditional_run() -> FinishedRun:
    """A model that takes classes; it was not evaluated."""
    parameters = open_loader(REPO / "conf", "test", {"data": {"num_conditions": 10}})
    parameters = parameters.final_parameters()
    denoiser = build_denoiser(parameters.denoiser, 16, 1, seed=0, num_conditions=10)
    manifest = {
        "method": "pu",
        "beta": {"value": 0.1, "source": "parameter"},
        "seed": 0,
        "num_steps": 6,
        "num_parameters": 1,
        "weights_digest": weights_digest(denoiser),
        "precision": "fp32",
        "device": "cpu",
        "versions": {},
        "git_revision": None,
    }
    return FinishedRun(
        method="pu",
        parameters=parameters,
        hub_base=None,
        denoiser=denoiser,
        noise_scheduler=build_noise_scheduler(**parameters.noise.model_dump()),
        manifest=manifest,
        counts=dict.fromkeys(SETS, 10),
        metrics=None,
        samples=None,
    )


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> Path:
    """A model that takes classes, exported."""
    out = tmp_path_factory.mktemp("conditional") / "model"
    write_folder(out, conditional_run(), CardOptions("model"))
    return out


@pytest.fixture(scope="module")
def drawn(exported, conditional) -> dict:
    """What diffusers draws from both folders where this package cannot be imported."""
    command = [sys.executable, "-c", DRAW, str(exported), str(conditional)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "expected" not in done.stderr  # diffusers' warning about an unknown setting
    return json.loads(done.stdout)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_diffusers_alone_draws_from_the_folder(drawn):
    kind, shape, deviation, _ = drawn["plain"]
    assert kind == "DDIMPipeline"
    assert shape == [16, 16, 16, 1]
    assert 0.05 < deviation < 0.5


def test_another_number_of_steps_gives_images_too(drawn):
    *_, deviation, images = drawn["few steps"]
    assert np.isfinite(images).all()
    assert 0.05 < deviation < 0.5


def test_diffusers_alone_draws_given_classes_from_a_conditional_folder(drawn):
    (_, shape, deviation, zeros), (*_, ones) = drawn["classes"]
    assert shape == [16, 16, 16, 1]
    assert deviation > 0.05
    assert zeros != ones  # from the same noise


def test_the_folder_holds_the_expected_files_only(exported, conditional):
    assert files(exported) == FILES
    assert files(conditional) == FILES - {"samples.png"}  # it has no judged samples
    assert [path.name for path in exported.parent.iterdir()] == ["digits"]


def test_no_file_holds_a_path_of_this_machine(exported, finished_run, finished_project):
    places = {Path.home(), REPO, finished_run, finished_project, exported.parent}
    for path in exported.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for place in (*map(str, places), "data/0", "/tmp/", "/home/"):
            assert place.encode() not in content, f"{path.name} holds {place}"


def test_the_weights_are_those_of_the_run_and_fine_tuning_can_start_from_them(
    exported, finished_run
):
    parameters = open_loader(REPO / "conf", "test", {}).final_parameters()
    denoiser, scheduler = load_pretrained(
        str(exported), image_size=16, channels=1, noise=parameters.noise
    )
    manifest = json.loads((finished_run / MODEL / "manifest.json").read_text())
    assert weights_digest(denoiser) == manifest["weights_digest"]
    assert scheduler.config.beta_schedule == parameters.noise.schedule


def test_the_picture_shows_the_samples_that_were_judged_normal_and_no_other(exported, finished_run):
    import pandas as pd

    samples = np.load(finished_run / OUTPUT / "samples/images.npy")[:64, 0]
    sensitive = pd.read_csv(finished_run / OUTPUT / "judgements.csv")["judged_sensitive"][:64]
    picture = np.array(Image.open(exported / "samples.png").convert("L"))
    cells = [
        picture[top + 2 : top + 18, left + 2 : left + 18]
        for top in range(0, picture.shape[0], 20)
        for left in range(0, picture.shape[1], 20)
    ]
    shown = [cell for cell in cells if not (cell == 255).all()]
    assert 0 < len(shown) < len(samples)
    np.testing.assert_array_equal(shown, samples[~sensitive.to_numpy()])


def test_the_safe_name_of_a_method_chooses_its_model(in_project, tmp_path, finished_run):
    result = typed("export", str(tmp_path / "out"), "--env=test", "--method=unsupervised")
    assert result.exit_code == 0, result.output
    assert "licence is unknown" in result.output
    path = finished_run / "data/06_models/test/unsupervised/seed_0/manifest.json"
    digest = json.loads(path.read_text())["weights_digest"]
    assert digest in (tmp_path / "out/README.md").read_text()
