"""A training that is interrupted goes on to the same bits; one on a full disk goes on without."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pu_diffusion_pipeline
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.train import Trained
from tiny_training import NUM_STEPS, job, losses, sets, train, train_job, weights, without_speed


@pytest.fixture(scope="module")
def whole_run() -> Trained:
    """PU training that nothing interrupted."""
    return train()


class Stops:
    """An objective that raises, or does something worse, in the step after `after`."""

    def __init__(self, after: int, do) -> None:
        self.left, self.do, self.objective = after, do, build_objective("pu", 0.1, "non_negative")

    def __call__(self, denoising_error, labels):
        if self.left == 0:
            self.do()
        self.left -= 1
        return self.objective(denoising_error, labels)


def train_until_killed(folder: str) -> None:
    """For a process of its own: killed in the sixth step, after the state of step 4 was written."""
    objective = Stops(5, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(store=CheckpointStore(folder), minimised=objective)


def test_a_run_that_was_killed_goes_on_to_the_same_bits_as_one_never_stopped(tmp_path, whole_run):
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('test_resuming', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "module.train_until_killed(sys.argv[2])\n"
    )
    source = str(Path(pu_diffusion_pipeline.__file__).parents[1])
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([source, str(Path(__file__).parents[1])]),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    process = subprocess.run(
        [sys.executable, "-c", script, __file__, str(tmp_path)], env=env, timeout=300
    )
    assert process.returncode == -signal.SIGKILL
    assert CheckpointStore(tmp_path).latest()["step"] == 4

    resumed = train(store=CheckpointStore(tmp_path))
    assert torch.equal(weights(resumed), weights(whole_run))
    assert without_speed(resumed.history) == without_speed(whole_run.history)
    assert resumed.num_steps == whole_run.num_steps


@pytest.mark.parametrize("after", [1, 2, 3, 7])
def test_a_run_interrupted_in_any_step_goes_on_to_the_same_bits(tmp_path, whole_run, after):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), minimised=Stops(after, interrupt))
    again = job()
    calls = []
    again.model.unet.register_forward_pre_hook(lambda module, given: calls.append(module))
    resumed = train_job(again, sets(), CheckpointStore(tmp_path))
    assert len(calls) == NUM_STEPS - after // 2 * 2, "only what was not saved is computed again"
    assert torch.equal(weights(resumed), weights(whole_run))
    assert without_speed(resumed.history) == without_speed(whole_run.history)


def test_a_run_with_dropout_goes_on_to_the_same_bits(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    def with_dropout():
        asked = job()
        asked.model.unet.mid_block.resnets[0].dropout = torch.nn.Dropout(0.5)
        return asked

    whole = train_job(with_dropout(), sets())
    with pytest.raises(KeyboardInterrupt):
        train_job(with_dropout(), sets(), CheckpointStore(tmp_path), objective=Stops(5, interrupt))
    torch.manual_seed(1)
    resumed = train_job(with_dropout(), sets(), CheckpointStore(tmp_path))
    assert torch.equal(weights(resumed), weights(whole))
    assert not torch.equal(weights(resumed), weights(train_job(job(), sets())))


def test_a_run_by_muon_goes_on_to_the_same_bits(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    muon = {"muon_learning_rate": 0.02}
    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), minimised=Stops(5, interrupt), **muon)
    whole = train(**muon)
    resumed = train(store=CheckpointStore(tmp_path), **muon)
    assert torch.equal(weights(resumed), weights(whole))
    assert losses(whole) != losses(train())


def test_seconds_add_up_over_resumptions(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), minimised=Stops(5, interrupt))
    before = CheckpointStore(tmp_path).latest()["seconds"]
    assert before > 0
    assert train(store=CheckpointStore(tmp_path)).seconds > before


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train(store=CheckpointStore(tmp_path))
    again = job()
    calls = []
    again.model.unet.register_forward_pre_hook(lambda module, given: calls.append(module))
    second = train_job(again, sets(), CheckpointStore(tmp_path))
    assert calls == []
    assert torch.equal(weights(first), weights(second))
    assert second.history == first.history
    assert (second.num_steps, second.seconds) == (first.num_steps, first.seconds)
    assert not second.denoiser.training


class FullDisk(CheckpointStore):
    """A store on a disk that is full from the second state on."""

    def save(self, state) -> None:
        if self.latest() is not None:
            raise OSError(self.errno, os.strerror(self.errno))
        super().save(state)

    errno = errno.ENOSPC


def test_training_goes_on_when_the_disk_is_full_and_the_last_good_state_stays(
    tmp_path, whole_run, caplog
):
    trained = train(store=FullDisk(tmp_path))
    assert torch.equal(weights(trained), weights(whole_run))
    assert CheckpointStore(tmp_path).latest()["step"] == 2
    assert (
        "of step 4 could not be written (No space left on device); training goes on" in caplog.text
    )
    assert f"Last good checkpoint: step 2 in {tmp_path}" in caplog.text


def test_a_full_disk_is_found_out_by_a_real_write(tmp_path):
    """/dev/full takes no byte; torch's own writer would raise an error that does not say why."""
    from pu_diffusion_pipeline.training import checkpoints

    with pytest.raises(OSError, match="No space left on device") as failure:
        checkpoints._write({"weights": torch.zeros(10_000)}, Path("/dev/full"))
    assert failure.value.errno == errno.ENOSPC


def test_a_run_goes_on_in_another_memory_layout(tmp_path, whole_run):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), minimised=Stops(5, interrupt))
    resumed = train(store=CheckpointStore(tmp_path), compute={"channels_last": True})
    assert losses(resumed) == pytest.approx(losses(whole_run), rel=1e-4)


@pytest.mark.parametrize(
    "name", ["seconds", "history", "denoiser", "precision", "optimizer", "lr_scheduler", "ema"]
)
@pytest.mark.parametrize("change", ["missing", "of another kind"])
def test_a_state_that_does_not_fit_is_refused_naming_its_step(tmp_path, name, change):
    def interrupt():
        raise KeyboardInterrupt

    store = CheckpointStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(store=store, minimised=Stops(3, interrupt))
    state = store.latest()
    state.pop(name)
    if change != "missing":
        state[name] = None
    store.save(state)
    with pytest.raises(InvalidInput, match=r"step 2 in .* does not fit|begun in None") as refusal:
        train(store=store)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_run_does_not_go_on_in_another_precision(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), minimised=Stops(5, interrupt))
    with pytest.raises(InvalidInput, match="begun in fp32 and would go on in bf16"):
        train(store=CheckpointStore(tmp_path), compute={"precision": "bf16"})


def test_another_error_of_the_disk_stops_training(tmp_path):
    store = FullDisk(tmp_path)
    store.errno = errno.EACCES
    with pytest.raises(PermissionError):
        train(store=store)
