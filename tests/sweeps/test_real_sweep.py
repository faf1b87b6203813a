"""A sweep for real: two methods, two seeds, two workers; then the same runs by plain commands."""

import json
import os
import subprocess
import sys

import pytest

from faults.injection import make_project

PARAMS = "training.num_steps:4,sampling.num_images:8,evaluation.kid_subset_size:8"


def kedro(project, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def metrics_of(project) -> dict[str, dict]:
    """Of each run, without how long it took."""
    folder = project / "data/07_model_output/test"
    return {
        str(path.relative_to(folder)): without_times(json.loads(path.read_text()))
        for path in sorted(folder.glob("*/*/metrics.json"))
    }


def without_times(record: dict) -> dict:
    return {
        name: without_times(value) if isinstance(value, dict) else value
        for name, value in record.items()
        if "seconds" not in name
    }


@pytest.mark.slow
def test_a_sweep_measures_the_same_as_plain_runs(tmp_path):
    swept = make_project(tmp_path / "swept")
    asked = ["sweep", "--env=test", "--methods=unsupervised,pu", "--seeds=0-1", "--yes"]
    kedro(swept, *asked, f"--params={PARAMS}", "--workers=2")
    plain = make_project(tmp_path / "plain")
    kedro(plain, "run", "--env=test", "--pipeline=train_classifier", f"--params={PARAMS}")
    for seed in (0, 1):
        for method in ("unsupervised", "pu"):
            pipelines = f"--pipelines=train_{method},sample_{method},evaluate_{method}"
            kedro(plain, "run", "--env=test", pipelines, f"--params={PARAMS},seed:{seed}")
    expected = metrics_of(plain)
    assert len(expected) == 4
    assert metrics_of(swept) == expected
    (saved,) = (swept / "data/08_reporting/sweeps").glob("*/sweep.yml")
    assert "4 of 4 runs are finished" in kedro(swept, "sweep", str(saved), "--yes")
    drawn = ["--rows=test", "--seeds=0", "--betas=0.1,0.2", f"--params={PARAMS}", "--yes"]
    assert "2 of 3 runs are finished" in kedro(swept, "reproduce", "figure4", *drawn)
    assert (swept / "data/08_reporting/paper/figure4_test.png").exists()
