"""What follows a training without being part of the algorithm: one contract, and its observers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore, State, go_on_if_disk_is_full
from pu_diffusion_pipeline.training.loop import Learner, Measured
from pu_diffusion_pipeline.training.schedules import moving_average

if TYPE_CHECKING:
    from diffusers import UNet2DModel

log = logging.getLogger(__name__)


class Observer:
    """Follows a training. Every method does nothing unless an observer needs it.

    Observers are called in the order in which they are given.
    """

    def begin(self, learner: Learner) -> None:
        """Called once before the first step, or the first one after resuming."""

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Called after every step; `learner.step` is the number of steps taken."""

    def end(self, learner: Learner) -> None:
        """Called once after the last step."""

    def state_dict(self) -> State:
        """What a resumed training needs of the observer."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Take up a saved state, of which the observer reads its own part."""


def follow(steps: Iterable[Measured], learner: Learner, observers: Sequence[Observer]) -> None:
    """Run the steps while the observers follow."""
    for observer in observers:
        observer.begin(learner)
    for measured in steps:
        for observer in observers:
            observer.after_step(learner, measured)
    for observer in observers:
        observer.end(learner)


class WeightAverage(Observer):
    """An exponential moving average of the weights, which become the model's at the end."""

    def __init__(self, learner: Learner, decay: float) -> None:
        self._average = moving_average(learner.unwrapped, decay)
        self._device = learner.accelerator.device

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Move the average towards the weights."""
        self._average.step(learner.denoiser.parameters())

    def end(self, learner: Learner) -> None:
        """Put the average in the place of the weights."""
        self._average.copy_to(learner.unwrapped.parameters())

    @contextmanager
    def in_place(self, denoiser: UNet2DModel) -> Iterator[None]:
        """Put the average in the place of the weights while the block runs."""
        self._average.store(denoiser.parameters())
        self._average.copy_to(denoiser.parameters())
        try:
            yield
        finally:
            self._average.restore(denoiser.parameters())

    def state_dict(self) -> State:
        """The average."""
        return {"ema": self._average.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Take up an average; a finished state has it as its weights."""
        if not state["finished"]:
            self._average.load_state_dict(state["ema"])
            self._average.to(self._device)


class Stopwatch(Observer):
    """Seconds of training over all resumptions; it stands still while somebody looks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0

    def begin(self, learner: Learner) -> None:
        """Start, or go on from the seconds before."""
        self._begun = time.perf_counter() - self.seconds

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Read the time."""
        self.seconds = time.perf_counter() - self._begun

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of the block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._begun += time.perf_counter() - begun

    def state_dict(self) -> State:
        """The seconds so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: State) -> None:
        """Take up the seconds."""
        self.seconds = float(state["seconds"])


class Watcher(Protocol):
    """Looks at the model while it trains."""

    every: int
    """Steps between two looks."""

    def check(self, num_steps: int) -> None:
        """Refuse a training of that length, if it could not be watched as asked."""
        ...

    def look(self, step: int, denoiser: UNet2DModel) -> None:
        """Sample from the denoiser, which is in evaluation mode, measure, and write it down."""
        ...

    def weights_to_return(self) -> dict[str, Tensor] | None:
        """The weights that become the model; None for the last ones."""
        ...


class Watching(Observer):
    """Lets a watcher look at the weights that would be returned now, every so many steps.

    Args:
        watcher: who looks.
        average: whose weights it sees; None: the last ones.
        stopwatch: which does not count its time.
        checkpoints: named when there is no room for what it writes.
    """

    def __init__(
        self,
        watcher: Watcher,
        average: WeightAverage | None,
        stopwatch: Stopwatch,
        checkpoints: CheckpointStore | None,
    ) -> None:
        self._watcher = watcher
        self._average = average
        self._stopwatch = stopwatch
        self._checkpoints = checkpoints

    def begin(self, learner: Learner) -> None:
        """Refuse what cannot be watched."""
        self._watcher.check(learner.num_steps)

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Look, if it is time to."""
        if learner.step % self._watcher.every == 0:
            with self._stopwatch.paused():
                self._look(learner.step, learner.unwrapped)

    def end(self, learner: Learner) -> None:
        """Take the weights that the watcher has chosen, if it has."""
        if (chosen := self._watcher.weights_to_return()) is not None:
            learner.unwrapped.load_state_dict(chosen)

    def _look(self, step: int, denoiser: UNet2DModel) -> None:
        averaged = nullcontext() if self._average is None else self._average.in_place(denoiser)
        with averaged, go_on_if_disk_is_full("look", step, self._checkpoints):
            self._watcher.look(step, denoiser.eval())
        denoiser.train()


class ResumeStates(Observer):
    """Saves checkpoints, and at the end the finished model; gives back the newest.

    Args:
        store: where they go; None keeps none.
        every: steps between two of them.
        observers: whose states are part of them.
    """

    def __init__(
        self, store: CheckpointStore | None, every: int, observers: Sequence[Observer]
    ) -> None:
        self._store = store
        self._every = every
        self._observers = observers

    def resume(self, learner: Learner) -> bool:
        """Take up the newest state, if there is one; whether the training was finished already.

        Raises:
            InvalidInput: it was begun in another precision, or is a state of something else.
        """
        state = None if self._store is None else self._store.latest()
        if self._store is None or state is None:
            return False
        if state["finished"]:
            log.info("This training is finished already (%s); nothing to do", self._store.folder)
        else:
            log.info("Resuming at step %d from %s", state["step"], self._store.folder)
        with _told_if_it_does_not_fit(state, self._store.folder):
            if not state["finished"]:
                _check_precision(state["precision"], learner.precision, self._store.folder)
            learner.load_state_dict(state)
            for observer in self._observers:
                observer.load_state_dict(state)
        return state["finished"]

    def after_step(self, learner: Learner, measured: Measured) -> None:
        """Save a state, if it is time to and this is not the last step."""
        if learner.step % self._every == 0 and learner.step < learner.num_steps:
            self._save(learner, {**self._state(learner), "finished": False})

    def end(self, learner: Learner) -> None:
        """Save the finished model."""
        state = self._state(learner)
        finished: State = {
            "finished": True,
            "step": state["step"],
            "seconds": state["seconds"],
            "history": state["history"],
            "denoiser": state["denoiser"],
        }
        self._save(learner, finished)

    def _state(self, learner: Learner) -> State:
        state = learner.state_dict()
        for observer in self._observers:
            state.update(observer.state_dict())
        return state

    def _save(self, learner: Learner, state: State) -> None:
        if self._store is not None and learner.is_first:
            with go_on_if_disk_is_full("checkpoint", learner.step, self._store):
                self._store.save(state)


@contextmanager
def _told_if_it_does_not_fit(state: State, folder: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InvalidInput(
            f"The checkpoint of step {state['step']} in {folder} does not fit this training "
            f"({why}). Delete it to go on from the one before, or {folder} to start over."
        ) from error


def _check_precision(begun: str, now: str, folder: Path) -> None:
    if begun != now:
        raise InvalidInput(
            f"This training was begun in {begun} and would go on in {now}: write "
            f"compute.precision: {begun}, or start over by deleting {folder}"
        )
