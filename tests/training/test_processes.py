"""Two processes that share every batch train as one process does, for each objective."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pu_diffusion_pipeline
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.training.worker import PARENT_VARIABLE
from tiny_training import TRAINED, losses, train

# (method, beta): with 0.99 the correction is active in some steps.
CASES = [*((method, 0.1) for method in TRAINED), ("pu", 0.99), ("pnu", 0.99), ("pu_weighted", 0.99)]


def curves() -> dict[str, dict[str, list[float]]]:
    found = {}
    for method, beta in CASES:
        trained = train(
            method, minimised=build_objective(method, beta, "non_negative", 0.2), num_steps=10
        )
        active = [row.get("correction_active", 0.0) for row in trained.history]
        norms = [row["gradient_norm"] for row in trained.history]
        found[f"{method} {beta}"] = {
            "loss": losses(trained),
            "active": active,
            "gradient_norm": norms,
        }
    return found


@pytest.fixture(scope="module")
def in_two_processes(tmp_path_factory) -> list[dict]:
    """What each of two processes has seen."""
    folder = tmp_path_factory.mktemp("processes")
    paths = [str(Path(pu_diffusion_pipeline.__file__).parents[1]), str(Path(__file__).parents[1])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        __file__,
        folder,
    ]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def in_one_process() -> dict:
    return curves()


@pytest.mark.slow  # 40 s; test_run_job has one such training
@pytest.mark.parametrize("case", [f"{method} {beta}" for method, beta in CASES])
def test_two_processes_with_half_a_batch_each_are_one_with_the_batch(
    case, in_two_processes, in_one_process
):
    one = in_one_process[case]
    for seen in in_two_processes:
        for name in ("loss", "gradient_norm"):
            assert seen[case][name] == pytest.approx(one[name], rel=1e-4), name
        assert seen[case]["active"] == one["active"]
    if case == "pu 0.99":
        assert 0 < np.mean(one["active"]) < 1, "the correction must be active in some of the steps"


@pytest.mark.slow
def test_processes_compute_different_images(in_two_processes):
    shares = [seen["shares"] for seen in in_two_processes]
    assert set(shares[0]) & set(shares[1]) == set()
    assert sorted(shares[0] + shares[1]) == list(range(7))


def main(folder: Path) -> None:
    from tiny_training import prepared

    found = curves()
    gradients = prepared().gradients
    shares = [int(place) for part in gradients._parts(7) for place in part]
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps({**found, "shares": shares}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))


def test_a_worker_ends_whose_starter_was_gone_before_it_looked():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = "import time; from pu_diffusion_pipeline.training.worker import end_with_parent as end\n"
    worker = [sys.executable, "-c", code + "end()\ntime.sleep(100)"]
    source = str(Path(pu_diffusion_pipeline.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": source, PARENT_VARIABLE: str(gone.pid)}
    assert subprocess.run(worker, env=env, timeout=60, check=False).returncode == 1
