"""A sweep has the same metrics on every engine, also where a worker was killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conftest import REPO

pytestmark = pytest.mark.slow
PARAMS = "training.num_steps:4,sampling.num_images:8,evaluation.kid_subset_size:4"
SWEEP = [
    *("sweep", "--env=test", "--methods=pu,unsupervised", "--seeds=0"),
    *(f"--params={PARAMS}", "--yes"),
]


def start(project: Path, engine: str) -> subprocess.Popen:
    for name in ("conf", "src"):
        shutil.copytree(REPO / name, project / name)
    shutil.copy(REPO / "pyproject.toml", project)
    env = {**os.environ, "PYTHONPATH": str(project / "src"), "DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "kedro", *SWEEP, f"--engine={engine}"]
    log = (project / "log").open("w")
    return subprocess.Popen(command, cwd=project, env=env, stdout=log, stderr=log)


def metrics(project: Path) -> dict[str, object]:
    found = sorted((project / "data").rglob("metrics.json"))
    return {str(path.relative_to(project)): lasting(json.loads(path.read_text())) for path in found}


def lasting(record: object) -> object:
    """Without how long it took and which checkout made it."""
    if isinstance(record, list):
        return [lasting(value) for value in record]
    if not isinstance(record, dict):
        return record
    passing = ("seconds", "git_revision")
    return {name: lasting(value) for name, value in record.items() if name not in passing}


def worker_of_a_training(project: Path) -> psutil.Process | None:
    """The worker of Ray that waits for a process which trains."""
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "engines.child" in words and "train_" in words and process.cwd() == str(project):
            return process.parent()
    return None


def test_ray_makes_the_metrics_of_local_though_a_worker_is_killed(tmp_path):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    assert start(tmp_path / "local", "local").wait() == 0
    project = tmp_path / "ray"
    sweep = start(project, "ray")
    while sweep.poll() is None and (worker := worker_of_a_training(project)) is None:
        time.sleep(0.05)
    assert worker is not None
    worker.send_signal(signal.SIGKILL)
    assert sweep.wait() == 0
    assert "once more" in (project / "log").read_text()
    assert len(metrics(project)) == 2
    assert metrics(project) == metrics(tmp_path / "local")
