"""The curves as TensorBoard reads them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pu_diffusion_pipeline.errors import TrainingDiverged
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.job import Job, run_job
from pu_diffusion_pipeline.training.train import train as train_job
from tiny_training import job, losses, sets, train, weights

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
)


def read(folder: Path, name: str = "loss") -> list[tuple[int, float]]:
    """Step and value, as TensorBoard reads them from all files of a folder."""
    events = accumulator.EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def expected(trained) -> list[tuple[int, object]]:
    return [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in trained.history]


def followed(folder: Path, **training) -> Job:
    return replace(job(**training), tensorboard=folder)


def test_the_curves_are_the_history_and_the_training_is_the_same(tmp_path):
    plain = train()
    trained = train_job(followed(tmp_path / "curves"), sets())
    assert torch.equal(weights(trained), weights(plain))
    assert read(tmp_path / "curves") == expected(plain)
    rates = read(tmp_path / "curves", "learning_rate")
    assert [value for _, value in rates] == pytest.approx(
        [row["learning_rate"] for row in plain.history], abs=1e-8
    )


class Stops:
    """An objective that fails at a step."""

    def __init__(self, objective, at: int) -> None:
        self.objective, self.left = objective, at

    def __call__(self, denoising_error, labels):
        self.left -= 1
        loss, risks = self.objective(denoising_error, labels)
        return (loss if self.left > 0 else loss * float("nan")), risks


def test_a_resumed_training_has_every_step_once(tmp_path):
    store, curves = CheckpointStore(tmp_path / "states"), tmp_path / "curves"
    stopped = followed(curves)
    with pytest.raises(TrainingDiverged):
        train_job(stopped, sets(), store, objective=Stops(stopped.build_objective(), at=6))
    assert [step for step, _ in read(curves)] == [1, 2, 3, 4, 5]
    trained = train_job(followed(curves), sets(), store)
    assert losses(trained) == losses(train())
    assert read(curves) == expected(trained)
    assert len(list(curves.iterdir())) == 1


@pytest.mark.slow
def test_of_two_processes_the_first_writes(tmp_path):
    curves = tmp_path / "curves"
    options = {"num_processes": 2, "batch_size": 8}
    trained = run_job(followed(curves, **options), CheckpointStore(tmp_path / "states"), sets())
    assert read(curves) == expected(trained)
    assert len(list(curves.iterdir())) == 1
