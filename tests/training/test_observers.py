"""What observers may rely on: order, time, and which weights a watcher sees and chooses."""

import errno
import os
import time
from types import SimpleNamespace

import pytest
import torch

from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.observers import Observer, Stopwatch, follow
from tiny_training import job, losses, sets, train, train_job, weights


class Noted(Observer):
    """Writes down when it is called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    def begin(self, learner):
        self.calls.append(f"{self.name} begins")

    def after_step(self, learner, measured):
        self.calls.append(f"{self.name} sees {measured}")

    def end(self, learner):
        self.calls.append(f"{self.name} ends")


def test_observers_are_called_in_their_order_before_after_every_step_and_at_the_end():
    calls: list[str] = []
    steps = (calls.append(f"step {number}") or number for number in (1, 2))
    follow(steps, SimpleNamespace(), [Noted("one", calls), Noted("two", calls)])
    assert calls == [
        "one begins", "two begins",
        "step 1", "one sees 1", "two sees 1",
        "step 2", "one sees 2", "two sees 2",
        "one ends", "two ends",
    ]  # fmt: skip


def test_a_stopwatch_goes_on_from_the_seconds_before_and_stands_still_while_paused(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    stopwatch = Stopwatch()
    stopwatch.load_state_dict({"seconds": 7.0})
    stopwatch.begin(None)
    now[0] += 2
    stopwatch.after_step(None, None)
    assert stopwatch.seconds == 9
    with stopwatch.paused():
        now[0] += 50
    now[0] += 1
    stopwatch.after_step(None, None)
    assert stopwatch.seconds == 10
    assert stopwatch.state_dict() == {"seconds": 10}


class Sees:
    """A watcher that keeps what it is shown, and may choose one of them."""

    every = 3

    def __init__(self, chooses: int | None = None, error: int | None = None) -> None:
        self.seen: dict[int, dict[str, torch.Tensor]] = {}
        self.was_training: list[bool] = []
        self.chooses = chooses
        self.error = error
        self.length = 0

    def check(self, num_steps):
        self.length = num_steps

    def look(self, step, denoiser):
        self.was_training.append(denoiser.training)
        self.seen[step] = {name: value.clone() for name, value in denoiser.state_dict().items()}
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))

    def weights_to_return(self):
        return None if self.chooses is None else self.seen[self.chooses]


def test_looking_changes_nothing_and_shows_the_weights_that_would_be_returned():
    plain = train()
    watcher = Sees()
    watched = train_job(job(), sets(), watcher=watcher)
    assert torch.equal(weights(watched), weights(plain))
    assert losses(watched) == losses(plain)
    assert watcher.length == 8
    assert list(watcher.seen) == [3, 6]
    assert watcher.was_training == [False, False]


def test_a_look_at_the_last_step_sees_the_averaged_weights_that_are_returned():
    watcher = Sees()
    watcher.every = 8
    trained = train_job(job(), sets(), watcher=watcher)
    for name, weight in trained.denoiser.state_dict().items():
        assert torch.equal(watcher.seen[8][name], weight)


def test_the_weights_that_the_watcher_chooses_are_returned_and_saved(tmp_path):
    watcher = Sees(chooses=3)
    trained = train_job(job(), sets(), CheckpointStore(tmp_path), watcher)
    saved = CheckpointStore(tmp_path).latest()
    assert saved["finished"]
    for name, weight in trained.denoiser.state_dict().items():
        assert torch.equal(watcher.seen[3][name], weight)
        assert torch.equal(saved["denoiser"][name], weight)


@pytest.mark.parametrize("kind", ["ENOSPC", "EDQUOT"])
def test_training_goes_on_when_a_look_finds_no_room_on_the_disk(kind, caplog):
    plain = train()
    watched = train_job(job(), sets(), watcher=Sees(error=getattr(errno, kind)))
    assert torch.equal(weights(watched), weights(plain))
    assert "The look of step 3 could not be written" in caplog.text
    assert "Last good checkpoint: none" in caplog.text


def test_another_error_of_a_look_stops_training():
    with pytest.raises(PermissionError):
        train_job(job(), sets(), watcher=Sees(error=errno.EACCES))


def test_the_time_of_a_look_does_not_count():
    class Slow(Sees):
        every = 1

        def look(self, step, denoiser):
            time.sleep(0.5)

    begun = time.perf_counter()
    trained = train_job(job(), sets(), watcher=Slow())
    assert trained.seconds < time.perf_counter() - begun - 8 * 0.5
