"""A training on a Ray cluster: the bits of `num_processes` on one machine, and how it ends early.

Ctrl-C of a whole run is tested in `test_jobs.py`.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

import pu_diffusion_pipeline
from pu_diffusion_pipeline import ray_connection
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed, TrainingDiverged
from pu_diffusion_pipeline.experiment.requirements import refuse_unmet
from pu_diffusion_pipeline.training import ray_launch
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.job import run_job
from pu_diffusion_pipeline.training.job_folder import JobFolder
from pu_diffusion_pipeline.training.train import Trained
from tiny_training import NUM_STEPS, job, parameters, sets, weights

WORKER = "ray::RayTrainWorker"
MANY_STEPS = {"num_steps": 300, "log_every": 10, "checkpoint_every": 10}


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


def here(folder: Path, **training) -> Trained:
    """The job in two processes of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(pu_diffusion_pipeline.__file__).parents[1]))
        return run_job(job(num_processes=2, **training), CheckpointStore(folder), sets())


def on_ray(store: CheckpointStore, num_processes: int = 2, **training) -> Trained:
    return run_job(job(num_processes=num_processes, engine="ray", **training), store, sets())


def workers() -> list[psutil.Process]:
    """The processes of Ray that train."""
    return [
        one for one in psutil.process_iter(["name"]) if one.info["name"].startswith(WORKER[:15])
    ]


@pytest.mark.slow
def test_two_processes_on_ray_train_to_the_same_bits_as_two_here(ray, store, tmp_path, caplog):
    with caplog.at_level("INFO"):
        on_cluster = on_ray(store)
    lines = [one.getMessage() for one in caplog.records]
    assert "Ray starts 2 processes when there is room for them (1 CPU each)" in lines
    assert sum(line.startswith("train: ") for line in lines) == NUM_STEPS
    assert torch.equal(weights(on_cluster), weights(here(tmp_path / "here")))
    assert not (store.folder / "job").exists()
    assert not workers()


@pytest.mark.slow
def test_a_lost_process_ends_all_and_the_same_command_goes_on_to_the_same_bits(
    ray, store, tmp_path
):
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(on_ray, store, **MANY_STEPS)
        until = time.monotonic() + 120
        while not list(store.folder.glob("step_*.pt")) and not training.done():
            assert time.monotonic() < until, "it took too long"
            time.sleep(0.02)
        victims = workers()
        assert len(victims) == 2
        os.kill(victims[0].pid, signal.SIGKILL)
        message = (
            r"Process [01] of this training is lost, or its node is; the others were stopped "
            r"\(last good checkpoint: step \d+.*\)\. Run the same command to go on from there\."
        )
        with pytest.raises(ProcessFailed, match=message):
            training.result()
    psutil.wait_procs(victims, 20)
    assert not any(one.is_running() for one in victims)
    begun = store.latest()["step"]
    assert 0 < begun < MANY_STEPS["num_steps"]
    again = on_ray(store, **MANY_STEPS)
    assert torch.equal(weights(again), weights(here(tmp_path / "here", **MANY_STEPS)))


@pytest.mark.slow
def test_a_mistake_in_a_process_is_told_as_in_one(ray, store):
    with pytest.raises(TrainingDiverged, match="The loss or its gradient is not finite"):
        on_ray(store, learning_rate=1e30, num_steps=40)
    assert not (store.folder / "job").exists()


# --- refused --------------------------------------------------------------------------------------


def test_more_processes_than_there_is_room_for_are_refused(ray, store, monkeypatch):
    monkeypatch.setattr(ray_launch, "threads_of_each", lambda num_processes: 10**6)
    message = r"num_processes must be at most 0, for which the .* room \(1000000 CPUs each\), got 2"
    with pytest.raises(InvalidInput, match=message):
        on_ray(store)
    assert not (store.folder / "job").exists()


def test_external_processes_are_not_started_by_ray():
    with pytest.raises(InvalidInput, match="num_processes must be a number, got external"):
        parameters(engine="ray", num_processes="external")


def test_without_ray_the_message_names_the_extra(store, monkeypatch):
    monkeypatch.setattr(ray_connection, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pu_diffusion_pipeline\[ray\]"):
        on_ray(store)


def test_without_ray_a_run_is_refused_before_its_first_node(monkeypatch):
    name = "pu_diffusion_pipeline.experiment.requirements.find_spec"
    monkeypatch.setattr(name, lambda name: None)
    refuse_unmet(["pu.training.train_denoiser"], parameters())
    with pytest.raises(InvalidInput, match=r"training.engine ray needs Ray.*\[ray\]"):
        refuse_unmet(["pu.training.train_denoiser"], parameters(engine="ray"))


def test_mps_is_refused():
    with (
        pytest.raises(InvalidInput, match=r"needs compute\.device cuda or cpu, got mps"),
        ray_launch.connected_launcher(2, "mps"),
    ):
        pass


# --- signals --------------------------------------------------------------------------------------


def wait_as_ray_does() -> None:
    """It sets its own handler of Ctrl-C, and makes a KeyboardInterrupt of what others raise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signal.raise_signal(signal.SIGTERM)
    except SystemExit:
        raise KeyboardInterrupt from None


def leave(number, frame):
    raise SystemExit(128 + number)


def test_signals_raise_what_they_do_without_ray():
    interrupt = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit, match="143"), ray_launch._signals_as_ever():
            wait_as_ray_does()
        assert signal.getsignal(signal.SIGTERM) is leave
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGINT) is interrupt
    with pytest.raises(KeyboardInterrupt), ray_launch._signals_as_ever():
        raise SystemExit(0)  # Ray Train's answer to Ctrl-C


# --- what is told ---------------------------------------------------------------------------------


def test_a_node_that_does_not_see_the_job_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=rf"node \S+ does not see {tmp_path}/job"):
        ray_launch._work({"folder": str(tmp_path / "job")})


class Failed(Exception):
    """Stands for Ray Train's error: what each failed process has raised."""

    def __init__(self, **failures: Exception) -> None:
        super().__init__("Training failed due to worker errors:\nmuch text")
        self.worker_failures = {int(name[1:]): one for name, one in failures.items()}


@pytest.mark.parametrize(
    ("failed", "kind", "message"),
    [
        (Failed(_0=ProcessFailed("x"), _1=OSError("no disk")), ProcessFailed, r"1 .*\(no disk\)"),
        (Failed(_0=ProcessFailed("x"), _1=InvalidInput("blind")), InvalidInput, "^blind$"),
        (Failed(), ProcessFailed, r"Ray could not .*\(Training failed due to worker errors:\)"),
    ],
)
def test_the_cause_is_told_and_not_its_effects(tmp_path, failed, kind, message):
    error = ray_launch._explained(JobFolder(tmp_path / "run" / "job"), failed)
    assert isinstance(error, kind)
    with pytest.raises(kind, match=message):
        raise error
