"""Whole runs whose training is a job in several processes, or is watched.

Jobs without Kedro are tested in `test_run_job.py`.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import REPO
from pu_diffusion_pipeline.errors import InvalidInput

TRAINED = "data/06_models/test/pu/beta_0.1-seed_0"
DENOISER = "model/unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def split(finished_run, tmp_path) -> Path:
    """A folder with everything that training needs, and the judge, but no trained model."""
    shutil.copytree(finished_run / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data/06_models/test/pu")
    return tmp_path


def denoiser(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / TRAINED / DENOISER)


def losses(folder: Path) -> list[float]:
    return pd.read_csv(folder / TRAINED / "history.csv")["loss"].tolist()


def is_same_training(folder: Path, other: Path) -> bool:
    assert losses(folder) == pytest.approx(losses(other), rel=1e-4)
    return True


@pytest.mark.slow
def test_the_node_starts_two_processes_that_train_as_one(split, run, finished_run):
    run(split, "train_pu", training={"num_processes": 2})
    assert is_same_training(split, finished_run)
    assert json.loads((split / TRAINED / "manifest.json").read_text())["num_processes"] == 2
    assert (
        sorted(path.name for path in (split / TRAINED / "checkpoints").iterdir() if path.is_dir())
        == []
    )


def workers(folder: Path) -> list[int]:
    """Process ids of the workers on a job under the folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "pu_diffusion_pipeline.training.worker" in words and str(folder) in words[-1]:
            found.append(process.pid)
    return found


@pytest.fixture
def project(split) -> Path:
    """A copy of the project, for runs from the command line."""
    for name in ("conf", "src", "pyproject.toml", ".telemetry"):
        source = REPO / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, split / name)
    return split


def command(num_processes: int, engine: str = "local") -> list[str]:
    """A training of 400 steps, as users start it."""
    options = (
        "training.num_steps:400,training.log_every:10,training.checkpoint_every:20,"
        f"training.num_processes:{num_processes},training.engine:{engine}"
    )
    words = [sys.executable, "-m", "kedro", "run", "--env=test", "--pipeline=train_pu"]
    return [*words, f"--params={options}"]


def begun(project: Path, num_processes: int, engine: str = "local") -> subprocess.Popen[str]:
    """The training, once it has a checkpoint; it leads a group of processes."""
    env = {**os.environ, "PYTHONPATH": str(project / "src")}
    process = subprocess.Popen(
        command(num_processes, engine),
        cwd=project,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 240  # a Ray of its own takes its time to start
    while not list((project / "data/06_models/test/pu").glob("*/checkpoints/step_*.pt")):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.05)
    return process


def output(process: subprocess.Popen[str]) -> str:
    """What it has printed when it has ended, in one line."""
    try:
        return " ".join(process.communicate(timeout=120)[0].split())
    finally:
        process.kill()


def run_again(project: Path, num_processes: int) -> Path:
    """The folder of the training, once the same command has ended it."""
    env = {**os.environ, "PYTHONPATH": str(project / "src")}
    again = subprocess.run(
        command(num_processes), cwd=project, env=env, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stdout + again.stderr
    (folder,) = (project / "data/06_models/test/pu").glob("*num_steps_400*")
    assert pd.read_csv(folder / "history.csv")["step"].tolist() == list(range(10, 401, 10))
    return folder


@pytest.mark.slow
def test_a_killed_process_stops_all_with_a_clear_error_and_the_run_resumes(project):
    process = begun(project, 2)
    victims = workers(project)
    assert len(victims) == 2
    os.kill(victims[1], signal.SIGKILL)
    printed = output(process)
    assert process.returncode == 1
    assert "was killed (signal 9); the others were stopped (last good checkpoint: step" in printed
    assert "Traceback" not in printed
    assert workers(project) == []
    run_again(project, 2)


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [1, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_stop_says_how_to_go_on(project, num_processes, number, code):
    process = begun(project, num_processes)
    os.killpg(process.pid, number)
    printed = output(process)
    assert process.returncode == code
    assert printed.count("Interrupted. Last good checkpoint: step ") == 1
    assert "Run the same command to go on." in printed
    assert "Traceback" not in printed
    assert workers(project) == []
    stopped = load_file(run_again(project, num_processes) / DENOISER)
    shutil.rmtree(project / "data/06_models/test/pu")  # and never stopped
    whole = load_file(run_again(project, num_processes) / DENOISER)
    for name, weight in whole.items():
        assert torch.equal(stopped[name], weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_run_on_ray_that_is_stopped_or_killed_leaves_no_worker(
    project, number, code, monkeypatch
):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    process = begun(project, 2, "ray")
    started = psutil.Process(process.pid).children(recursive=True)
    workers = [one for one in started if "RayTrainWo" in one.name()]
    assert len(workers) == 2
    os.kill(process.pid, number)
    printed = output(process)
    assert process.returncode == code, printed
    if number != signal.SIGKILL:
        assert printed.count("Interrupted. Last good checkpoint: step ") == 1
    assert "Ray starts 2 processes when there is room for them" in printed
    assert "Traceback" not in printed
    left = workers if number == signal.SIGKILL else started  # Ray's own may stay a while
    psutil.wait_procs(left, 20)
    assert not [one for one in left if one.is_running()]


# --- watching -------------------------------------------------------------------------------------


def test_watching_changes_nothing_and_writes_down_what_it_sees(split, run, finished_run):
    run(split, "train_pu", watch={"every": 2, "num_images": 16, "keep": "all"})
    for name, weight in denoiser(finished_run).items():
        assert torch.equal(denoiser(split)[name], weight)
    folder = split / TRAINED / "watch"
    looks = pd.read_csv(folder / "looks.csv")
    assert looks["step"].tolist() == [2, 4, 6]
    assert looks["non_sensitive_rate"].between(looks["low"], looks["high"]).all()
    assert (looks["frechet_distance"] > 0).all()
    pictures = [np.asarray(Image.open(folder / f"step_{step:08d}.png")) for step in (2, 4, 6)]
    assert not np.array_equal(pictures[0], pictures[2])
    assert (folder / "curve.png").is_file()
    last = load_file(folder / "weights/step_00000006.safetensors")
    for name, weight in denoiser(finished_run).items():
        assert torch.equal(last[name], weight), (
            "the last look is at the averaged weights that become the model"
        )


@pytest.mark.parametrize("criterion", ["frechet_distance", "non_sensitive_rate"])
def test_the_best_look_becomes_the_model(split, run, criterion):
    run(
        split,
        "train_pu",
        watch={"every": 2, "num_images": 16, "keep": "best", "criterion": criterion},
    )
    (folder,) = (split / "data/06_models/test/pu").iterdir()
    assert "watch.keep_best" in folder.name, "another model, so another folder"
    looks = pd.read_csv(folder / "watch/looks.csv").set_index("step")[criterion]
    best = looks.idxmin() if criterion == "frechet_distance" else looks.idxmax()
    chosen = load_file(folder / f"watch/weights/step_{best:08d}.safetensors")
    for name, weight in load_file(
        folder / "model/unet/diffusion_pytorch_model.safetensors"
    ).items():
        assert torch.equal(chosen[name], weight)


def test_watching_needs_the_judge(split, run):
    shutil.rmtree(split / "data/06_models/test/judge")
    with pytest.raises(InvalidInput, match=r"judge .*kedro run --pipeline=train_classifier"):
        run(split, "train_pu", watch={"every": 2})


def test_keeping_the_best_needs_somebody_who_looks(split, run):
    with pytest.raises(InvalidInput, match=r"watch\.keep best needs watch\.every"):
        run(split, "train_pu", watch={"keep": "best"})


def test_looks_that_judge_otherwise_choose_another_model(split, session):
    """With keep best the judge's and the sampler's settings are part of the model's identity."""

    def folder(**params) -> str:
        with session(split, "test", **params) as opened:
            return opened.load_context().catalog.get("pu.model").filepath.parent.name

    best = {"every": 2, "keep": "best"}
    assert folder(watch=best) != folder(watch=best, judge={"seed": 1})
    assert folder(watch=best) != folder(watch=best, sampling={"num_steps": 5})
    assert folder(watch={"every": 2}) == folder(judge={"seed": 1}) == folder()


def test_reference_features_are_made_once(split, run, caplog, monkeypatch):
    import pu_diffusion_pipeline.metrics.fidelity as fidelity

    opened = []
    whole = fidelity._judge_on
    monkeypatch.setattr(
        fidelity, "_judge_on", lambda judge, device: opened.append(device) or whole(judge, device)
    )
    with caplog.at_level(logging.WARNING):
        run(split, "evaluate_unsupervised")
    assert len(opened) == 1, "the samples' features only"
