"""The curve of a training, and that it stops when it diverges."""

import numpy as np
import pytest
import torch

from pu_diffusion_pipeline.errors import TrainingDiverged
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.history import Meter
from pu_diffusion_pipeline.training.train import Trained
from tiny_training import NUM_STEPS, losses, parameters, train, weights


@pytest.fixture(scope="module")
def whole_run() -> Trained:
    """PU training that nothing interrupted."""
    return train()


def test_history_has_a_row_per_step_with_the_risks_and_the_learning_rate(whole_run):
    assert [row["step"] for row in whole_run.history] == list(range(1, NUM_STEPS + 1))
    assert whole_run.num_steps == NUM_STEPS
    assert whole_run.seconds > 0
    rate = parameters().training.learning_rate  # 2 warm-up steps, then a cosine over the other 6
    cosine = [rate * (1 + np.cos(np.pi * step / 6)) / 2 for step in range(7)]
    assert [row["learning_rate"] for row in whole_run.history] == pytest.approx(
        [rate / 2, *cosine], abs=1e-12
    )
    for row in whole_run.history:
        assert row["normal"] == pytest.approx(
            row["unlabeled_negative"] - 0.1 * row["sensitive_negative"], rel=1e-5
        )
        expected = row["normal"] + 0.1 * row["sensitive_positive"]
        assert row["loss"] == pytest.approx(
            expected if row["correction_active"] == 0 else -row["normal"], rel=1e-5
        )
        assert row["gradient_norm"] > 0
        assert row["images_per_second"] > 0


def test_rows_are_means_over_the_steps_since_the_last_one(whole_run):
    coarse = train(log_every=4, checkpoint_every=4)
    assert [row["step"] for row in coarse.history] == [4, 8]
    assert losses(coarse) == pytest.approx(
        [np.mean(losses(whole_run)[:4]), np.mean(losses(whole_run)[4:])], rel=1e-5
    )
    assert torch.equal(weights(coarse), weights(whole_run))


def test_meter_means_start_over_after_each_flush():
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0)})
    meter.add({"loss": torch.tensor(3.0)})
    assert meter.flush() == {"loss": 2.0}
    meter.add({"loss": torch.tensor(5.0)})
    assert meter.flush() == {"loss": 5.0}


# --- divergence -------------------------------------------------------------------------------


class Diverges:
    """An objective whose value is not finite from the step after `after`."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, denoising_error, labels):
        self.left -= 1
        loss = denoising_error.mean() * (1.0 if self.left >= 0 else float("nan"))
        return loss, {}


def test_a_loss_that_is_not_finite_stops_the_run_naming_the_step_and_the_last_good_state(tmp_path):
    with pytest.raises(
        TrainingDiverged, match=r"by step 5 \(last good checkpoint: step 4 in"
    ) as stopped:
        train(store=CheckpointStore(tmp_path), minimised=Diverges(4))
    assert str(tmp_path) in str(stopped.value)
    state = CheckpointStore(tmp_path).latest()
    assert state["step"] == 4
    assert all(torch.isfinite(weight).all() for weight in state["denoiser"].values())


def test_no_state_is_saved_of_a_run_that_has_diverged_unseen_between_two_rows(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"by step 4 \(last good checkpoint: none\)"):
        train(
            store=CheckpointStore(tmp_path), minimised=Diverges(1), log_every=4, checkpoint_every=4
        )
    assert CheckpointStore(tmp_path).latest() is None


def test_a_run_without_checkpoints_names_none_when_it_diverges():
    with pytest.raises(TrainingDiverged, match=r"by step 1 \(last good checkpoint: none\)"):
        train(minimised=Diverges(0))
