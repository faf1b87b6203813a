"""The curve of a training: means between two rows, the check that it has not diverged, progress."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.errors import TrainingDiverged
from pu_diffusion_pipeline.progress import Reporter
from pu_diffusion_pipeline.training.checkpoints import (
    CheckpointStore,
    State,
    go_on_if_disk_is_full,
    last_good_checkpoint,
)
from pu_diffusion_pipeline.training.loop import Learner, Measured
from pu_diffusion_pipeline.training.observers import Observer, Stopwatch
from pu_diffusion_pipeline.training.options import TrainingOptions

SHOWN = ("loss", "unlabeled_negative", "sensitive_negative", "sensitive_positive")


class Meter:
    """Means of named scalars over some steps, summed on the device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of one step."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._count += 1

    def flush(self) -> dict[str, float]:
        """The means since the last flush."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums = {}
        self._count = 0
        return means


class History(Observer):
    """A row per `log_every` steps and at the end: means of what the steps since the last measured.

    Args:
        options: of the training.
        stopwatch: for the speed.
        checkpoints: named when the training has diverged.
    """

    def __init__(
        self,
        options: TrainingOptions,
        stopwatch: Stopwatch,
        checkpoints: CheckpointStore | None = None,
    ) -> None:
        self.rows: list[dict[str, float]] = []
        self._options = options
        self._stopwatch = stopwatch
        self._checkpoints = checkpoints
        self._meter = Meter()

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Count the step in, and write a row if it is time to.

        Raises:
            TrainingDiverged: the loss or its gradient is no longer finite.
        """
        self._meter.add(
            {
                "loss": measured.loss,
                **measured.risks,
                "gradient_norm": measured.gradient_norm,
                "num_images": torch.tensor(float(measured.num_images)),
            }
        )
        if learner.step % self._options.log_every == 0 or learner.step == learner.num_steps:
            row = self._row(learner)
            self._check(row, learner)
            self.rows.append(row)

    def state_dict(self) -> State:
        """The rows so far."""
        return {"history": self.rows}

    def load_state_dict(self, state: State) -> None:
        """Take up the rows."""
        self.rows = list(state["history"])

    def _row(self, learner: Learner) -> dict[str, float]:
        means = self._meter.flush()
        num_images = means.pop("num_images") * learner.step
        return {
            "step": learner.step,
            **means,
            "learning_rate": float(learner.lr_scheduler.get_last_lr()[-1]),
            "images_per_second": num_images / self._stopwatch.seconds,
        }

    def _check(self, row: dict[str, float], learner: Learner) -> None:
        scaler = learner.accelerator.scaler
        # With loss scaling (fp16) an infinite gradient is no alarm: that step is skipped and the
        # scale lowered, until it is below 1.
        watched = [row["loss"]] if scaler else [row["loss"], row["gradient_norm"]]
        is_dead = scaler is not None and scaler.get_scale() < 1
        if is_dead or not np.isfinite(watched).all():
            raise TrainingDiverged(
                f"The loss or its gradient is not finite by step {learner.step} "
                f"(last good checkpoint: {last_good_checkpoint(self._checkpoints)}). "
                f"Likely causes: training.learning_rate {self._options.learning_rate} or "
                f"training.muon_learning_rate {self._options.muon_learning_rate} too high, fp16, "
                "objective.correction none or a beta too large."
            )


class ProgressLine(Observer):
    """Shows each new row of a history beside the progress bar."""

    def __init__(self, history: History, reporter: Reporter) -> None:
        self._history = history
        self._reporter = reporter

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Show the row of this step, if there is one."""
        row = self._history.rows[-1] if self._history.rows else {}
        if row.get("step") == learner.step:
            named = " ".join(f"{name} {row[name]:.4g}" for name in SHOWN if name in row)
            speed = f"{row['images_per_second']:.0f} images/s"
            self._reporter.update(learner.step, f"{speed}, {named}")


class TensorBoardCurves(Observer):
    """Writes each row of a history for TensorBoard.

    It begins the folder anew with the rows so far, so that a resumed training has no step twice.

    Args:
        history: whose rows.
        folder: where they go.
        checkpoints: named when there is no room for them.
    """

    def __init__(self, history: History, folder: Path, checkpoints: CheckpointStore | None) -> None:
        self._history = history
        self._folder = folder
        self._checkpoints = checkpoints

    def begin(self, learner: Learner) -> None:
        """Open the folder."""
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(self._folder, ignore_errors=True)
        self._writer = SummaryWriter(str(self._folder))
        for row in self._history.rows:
            self._write(row)

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Write the row of this step, if there is one."""
        row = self._history.rows[-1] if self._history.rows else {}
        if row.get("step") == learner.step:
            self._write(row)

    def end(self, learner: Learner) -> None:
        """Close the folder."""
        self._writer.close()

    def _write(self, row: Mapping[str, float]) -> None:
        step = int(row["step"])
        with go_on_if_disk_is_full("curves for TensorBoard", step, self._checkpoints):
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, step)
            self._writer.flush()
