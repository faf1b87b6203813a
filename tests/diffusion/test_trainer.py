"""One loop for all methods: what a run depends on, what it leaves behind, and that it survives being killed."""

import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pu_diffusion_pipeline
from pu_diffusion_pipeline.diffusion.batches import build_batches
from pu_diffusion_pipeline.diffusion.checkpoints import CheckpointStore
from pu_diffusion_pipeline.diffusion.compute import compile_denoiser
from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser
from pu_diffusion_pipeline.diffusion.meter import Meter
from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
from pu_diffusion_pipeline.diffusion.objectives import build_objective
from pu_diffusion_pipeline.diffusion.trainer import Trained, Trainer
from pu_diffusion_pipeline.errors import InvalidInput, TrainingDiverged
from pu_diffusion_pipeline.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from tiny_training import NUM_STEPS, TRAINED, images, losses, normal_images, parameters, train, trainer, weights


def without_speed(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in history]


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


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", TRAINED)
def test_loss_falls(method):
    history = train(method, num_steps=60, warmup_steps=2, learning_rate=5e-3).history
    errors = [row["unlabeled_negative"] for row in history]
    assert np.mean(errors[-15:]) < 0.6 * np.mean(errors[:5])


def test_history_has_a_row_per_step_with_the_risks_and_the_learning_rate(whole_run):
    assert [row["step"] for row in whole_run.history] == list(range(1, NUM_STEPS + 1))
    assert whole_run.num_steps == NUM_STEPS
    assert whole_run.seconds > 0
    rate = parameters().training.learning_rate  # 2 warm-up steps, then a cosine over the other 6
    cosine = [rate * (1 + np.cos(np.pi * step / 6)) / 2 for step in range(7)]
    assert [row["learning_rate"] for row in whole_run.history] == pytest.approx([rate / 2, *cosine], abs=1e-12)
    for row in whole_run.history:
        assert row["normal"] == pytest.approx(row["unlabeled_negative"] - 0.1 * row["sensitive_negative"], rel=1e-5)
        expected = row["normal"] + 0.1 * row["sensitive_positive"]
        assert row["loss"] == pytest.approx(expected if row["correction_active"] == 0 else -row["normal"], rel=1e-5)
        assert row["gradient_norm"] > 0
        assert row["images_per_second"] > 0


def test_rows_are_means_over_the_steps_since_the_last_one(whole_run):
    coarse = train(log_every=4, checkpoint_every=4)
    assert [row["step"] for row in coarse.history] == [4, 8]
    assert losses(coarse) == pytest.approx([np.mean(losses(whole_run)[:4]), np.mean(losses(whole_run)[4:])], rel=1e-5)
    assert torch.equal(weights(coarse), weights(whole_run))


def test_meter_means_start_over_after_each_flush():
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0)})
    meter.add({"loss": torch.tensor(3.0)})
    assert meter.flush() == {"loss": 2.0}
    meter.add({"loss": torch.tensor(5.0)})
    assert meter.flush() == {"loss": 5.0}


def test_epochs_give_the_steps_of_so_many_passes():
    # 40 and 12 images in batches of 8: 7 steps a pass
    assert train(num_steps=None, num_epochs=2).num_steps == 14


# --- what a run depends on --------------------------------------------------------------------------------------------


def global_random_state() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def test_training_neither_depends_on_global_random_state_nor_changes_it(whole_run):
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = global_random_state()
        again = train()
        assert global_random_state() == before
        assert torch.equal(weights(again), weights(whole_run))
        assert without_speed(again.history) == without_speed(whole_run.history)


def test_another_seed_gives_another_run(whole_run):
    other = train(seed=1)
    assert not torch.equal(weights(other), weights(whole_run))
    assert losses(other)[0] != losses(whole_run)[0]


def what_the_denoiser_saw(
    method: str, steps: int = 3, pictures=None, **training
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Noisy images and timesteps of each step."""
    built, seen = trainer(method, num_steps=steps, **training), []
    built.denoiser.register_forward_pre_hook(lambda module, given: seen.append(tuple(part.clone() for part in given)))
    built.fit(*(pictures or images()), normal_images())
    return seen


@pytest.mark.parametrize("batches", ["stratified", "mixed"])
def test_images_noise_and_timesteps_of_u_are_the_same_for_every_method(batches):
    seen = {method: what_the_denoiser_saw(method, batches=batches) for method in TRAINED}
    for step in range(3):
        alone, timesteps = seen["unsupervised"][step]
        assert 0 < len(alone) <= 8
        assert len(seen["pu"][step][0]) == 8
        assert torch.equal(seen["pnu"][step][0][:8], seen["pu"][step][0]), "labeled normal images come on top"
        for method in TRAINED:
            with_sensitive, their_timesteps = seen[method][step]
            assert torch.equal(with_sensitive[: len(alone)], alone)
            assert torch.equal(their_timesteps[: len(alone)], timesteps)
    numbers = {method: sum(len(noisy_images) for noisy_images, _ in seen[method]) for method in TRAINED}
    assert numbers["unsupervised"] < numbers["pu"] == numbers["supervised"] == 3 * 8
    assert numbers["pnu"] == 3 * 9


def test_methods_start_with_the_same_error_on_u_and_those_that_read_s_with_the_same_on_s():
    plain, supervised, pu = (train(method, num_steps=1).history[0] for method in DEFAULT_METHODS)
    assert plain["unlabeled_negative"] == pytest.approx(supervised["unlabeled_negative"], rel=1e-5)
    assert plain["unlabeled_negative"] == pytest.approx(pu["unlabeled_negative"], rel=1e-5)
    assert supervised["sensitive_negative"] == pu["sensitive_negative"] != pytest.approx(pu["unlabeled_negative"])


@pytest.mark.parametrize("timesteps", ["stratified", "independent"])
def test_every_image_of_every_step_has_noise_and_timestep_of_its_own(timesteps):
    black = np.zeros((40, 1, 16, 16), dtype=np.uint8), np.zeros((12, 1, 16, 16), dtype=np.uint8)
    seen = what_the_denoiser_saw("pu", pictures=black, timesteps=timesteps)
    noisy_images = torch.cat([noisy for noisy, _ in seen])
    assert len(torch.unique(noisy_images.flatten(1), dim=0)) == 3 * 8
    assert len({tuple(drawn.tolist()) for _, drawn in seen}) == 3


def test_methods_start_from_the_same_weights():
    starts = [torch.cat([w.flatten() for w in trainer(method).denoiser.parameters()]) for method in DEFAULT_METHODS]
    assert torch.equal(starts[0], starts[1])
    assert torch.equal(starts[0], starts[2])
    other = torch.cat([w.flatten() for w in trainer(seed=1).denoiser.parameters()])
    assert not torch.equal(starts[0], other)


def test_unsupervised_training_does_not_read_s():
    unlabeled, sensitive = images()
    one = trainer("unsupervised").fit(unlabeled, sensitive)
    other = trainer("unsupervised").fit(unlabeled, 255 - sensitive)
    assert torch.equal(weights(one), weights(other))


def test_images_stay_as_they_were():
    unlabeled, sensitive = images()
    trainer().fit(unlabeled, sensitive)
    for used, fresh in zip((unlabeled, sensitive), images(), strict=True):
        np.testing.assert_array_equal(used, fresh)


# --- what a run returns -----------------------------------------------------------------------------------------------


class Recorder(CheckpointStore):
    """A store that keeps the weights of every state it saves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.saved: list[dict[str, torch.Tensor]] = []

    def save(self, state) -> None:
        self.saved.append({name: weight.clone() for name, weight in state["denoiser"].items()})
        super().save(state)


def test_averaged_weights_are_returned_and_saved(tmp_path, whole_run):
    raw = Recorder(tmp_path / "raw")
    train(store=raw, ema_decay=None, checkpoint_every=1)
    assert len(raw.saved) == NUM_STEPS
    # diffusers' average: the first step is copied, then the decay grows as k / (k + 9) up to ema_decay.
    average = raw.saved[0]
    for step, here in enumerate(raw.saved[1:], start=1):
        decay = min(0.9, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * here[name] for name in average}

    averaged = Recorder(tmp_path / "averaged")
    trained = train(store=averaged)
    last = raw.saved[-1]
    for name, weight in trained.denoiser.state_dict().items():
        torch.testing.assert_close(weight, average[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(averaged.latest()["denoiser"][name], weight)
    apart = max(float((average[name] - last[name]).abs().max()) for name in last)
    assert apart > 1e-4, "the averaged weights must differ from the last ones for this to tell anything"


def test_without_averaging_the_last_weights_are_returned(tmp_path):
    store = Recorder(tmp_path)
    trained = train(store=store, ema_decay=None, checkpoint_every=1)
    for name, weight in trained.denoiser.state_dict().items():
        assert torch.equal(weight, store.saved[-1][name])


def test_the_returned_denoiser_is_a_plain_model_in_evaluation_mode(whole_run):
    assert not whole_run.denoiser.training
    assert {weight.dtype for weight in whole_run.denoiser.parameters()} == {torch.float32}
    assert type(whole_run.denoiser).__name__ == "UNet2DModel"


def test_mixed_precision_keeps_float32_weights_and_leaves_no_wrapper(whole_run):
    trained = train(precision="bf16", num_steps=2)
    assert {weight.dtype for weight in trained.denoiser.parameters()} == {torch.float32}
    with torch.inference_mode():
        predicted = trained.denoiser(torch.zeros(1, 1, 16, 16), 0).sample
    assert predicted.dtype == torch.float32
    assert losses(trained) == pytest.approx(losses(whole_run)[:2], rel=0.05)
    assert losses(trained) != losses(whole_run)[:2]


# --- interruption -----------------------------------------------------------------------------------------------------


def train_until_killed(folder: str) -> None:
    """For a process of its own: killed in the sixth step, after the state of step 4 was written."""
    objective = Stops(5, lambda: os.kill(os.getpid(), signal.SIGKILL))
    train(store=CheckpointStore(folder), objective=objective)


def test_a_run_that_was_killed_goes_on_to_the_same_bits_as_one_never_stopped(tmp_path, whole_run):
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('test_trainer', sys.argv[1])\n"
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
    process = subprocess.run([sys.executable, "-c", script, __file__, str(tmp_path)], env=env, timeout=300)
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
        train(store=CheckpointStore(tmp_path), objective=Stops(after, interrupt))
    built, calls = trainer(store=CheckpointStore(tmp_path)), []
    built.denoiser.register_forward_pre_hook(lambda module, given: calls.append(module))
    resumed = built.fit(*images())
    assert len(calls) == NUM_STEPS - after // 2 * 2, "only what was not saved is computed again"
    assert torch.equal(weights(resumed), weights(whole_run))
    assert without_speed(resumed.history) == without_speed(whole_run.history)


def test_seconds_add_up_over_resumptions(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), objective=Stops(5, interrupt))
    before = CheckpointStore(tmp_path).latest()["seconds"]
    assert before > 0
    assert train(store=CheckpointStore(tmp_path)).seconds > before


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train(store=CheckpointStore(tmp_path))
    again, calls = trainer(store=CheckpointStore(tmp_path)), []
    again.denoiser.register_forward_pre_hook(lambda module, given: calls.append(module))
    second = again.fit(*images())
    assert calls == []
    assert torch.equal(weights(first), weights(second))
    assert second.history == first.history
    assert (second.num_steps, second.seconds) == (first.num_steps, first.seconds)
    assert not second.denoiser.training


@pytest.mark.parametrize(
    ("method", "empty"), [("pu", "labeled_sensitive"), ("unsupervised", "unlabeled"), ("pnu", "labeled_normal")]
)
def test_an_empty_set_that_the_method_needs_is_refused_naming_it(method, empty):
    sets = dict(zip(SETS, (*images(), normal_images()), strict=True))
    sets[empty] = sets[empty][:0]
    with pytest.raises(InvalidInput, match=f"the set {empty} is empty"):
        trainer(method).fit(*sets.values())


def test_a_set_that_the_method_does_not_need_may_be_empty():
    unlabeled, sensitive = images()
    assert trainer("unsupervised").fit(unlabeled, sensitive[:0]).num_steps == NUM_STEPS


class FullDisk(CheckpointStore):
    """A store on a disk that is full from the second state on."""

    def save(self, state) -> None:
        if self.latest() is not None:
            raise OSError(self.errno, os.strerror(self.errno))
        super().save(state)

    errno = errno.ENOSPC


def test_training_goes_on_when_the_disk_is_full_and_the_last_good_state_stays(tmp_path, whole_run, caplog):
    trained = train(store=FullDisk(tmp_path))
    assert torch.equal(weights(trained), weights(whole_run))
    assert CheckpointStore(tmp_path).latest()["step"] == 2
    assert "of step 4 could not be written (No space left on device); training goes on" in caplog.text
    assert f"Last good checkpoint: step 2 in {tmp_path}" in caplog.text


def test_a_full_disk_is_found_out_by_a_real_write(tmp_path):
    """/dev/full takes no byte; torch's own writer would raise a RuntimeError that does not say why."""
    from pu_diffusion_pipeline.diffusion import checkpoints

    with pytest.raises(OSError, match="No space left on device") as failure:
        checkpoints._write({"weights": torch.zeros(10_000)}, Path("/dev/full"))
    assert failure.value.errno == errno.ENOSPC


def test_a_run_goes_on_in_another_memory_layout(tmp_path, whole_run):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), objective=Stops(5, interrupt))
    resumed = train(store=CheckpointStore(tmp_path), options={"channels_last": True})
    assert losses(resumed) == pytest.approx(losses(whole_run), rel=1e-4)


def test_a_run_does_not_go_on_in_another_precision(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store=CheckpointStore(tmp_path), objective=Stops(5, interrupt))
    with pytest.raises(InvalidInput, match="begun in fp32 and would go on in bf16"):
        train(store=CheckpointStore(tmp_path), precision="bf16")


def test_another_error_of_the_disk_stops_training(tmp_path):
    store = FullDisk(tmp_path)
    store.errno = errno.EACCES
    with pytest.raises(PermissionError):
        train(store=store)


# --- how it is computed -----------------------------------------------------------------------------------------------


def test_the_memory_layout_makes_no_difference_but_rounding(whole_run):
    other = train(options={"channels_last": True})
    assert losses(other) == pytest.approx(losses(whole_run), rel=1e-4)
    assert all(weight.is_contiguous() for weight in other.denoiser.parameters())


@pytest.mark.slow
def test_compiling_makes_no_difference_but_rounding(whole_run):
    assert losses(train(options={"compiled": True})) == pytest.approx(losses(whole_run), rel=1e-3)


def test_without_a_compiler_the_user_is_told(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, "/nowhere/c++"))
    monkeypatch.setattr(config, "force_disable_caches", True)
    torch._dynamo.reset()
    compiled = compile_denoiser(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.SiLU()))
    with pytest.raises(InvalidInput, match=r"compute\.compile: torch\.compile does not work here .*install a C\+\+"):
        compiled(torch.ones(2, 4))


@pytest.mark.slow
def test_bf16_follows_fp32_over_200_steps():
    """The mean loss of every 25 steps differs by less than 2 %, and the training is one that learns.

    At a rate at which neighbouring trainings stay together: at 5e-3 rounding alone parts two of them.
    """
    curves = [
        np.array(losses(train(precision=precision, num_steps=200, learning_rate=1e-3))).reshape(-1, 25).mean(axis=1)
        for precision in ("fp32", "bf16")
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.02)
    assert curves[0][-1] < 0.6 * curves[0][0]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_as_the_cpu_does(precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    history = train(device="cuda", precision=precision, num_steps=60, learning_rate=5e-3).history
    errors = [row["unlabeled_negative"] for row in history]
    assert np.mean(errors[-15:]) < 0.6 * np.mean(errors[:5])


# --- conditions -------------------------------------------------------------------------------------------------------


def conditional(dropout: float, num_steps: int = 3) -> tuple[Trainer, list[torch.Tensor]]:
    """A trainer of a denoiser with 10 conditions, and the conditions that its denoiser is given in each step."""
    built, seen = trainer(num_steps=num_steps, options={"condition_dropout": dropout}), []
    settings = parameters()
    denoiser = build_denoiser(settings.denoiser, 16, 1, 0, num_conditions=10)
    denoiser.register_forward_pre_hook(lambda _, given, named: seen.append(named["class_labels"]), with_kwargs=True)
    whole = Trainer(
        denoiser,
        built.noise_scheduler,
        built.gradients.objective,
        built.settings,
        error_options=built.error_options,
        seed=0,
        device="cpu",
        precision="fp32",
        condition_dropout=dropout,
    )
    return whole, seen


def test_every_image_is_given_with_its_condition():
    unlabeled, sensitive = images()
    # every image of U shows its own number, every image of S the number 7
    given = (np.arange(40) % 5, np.full(12, 7))
    built, seen = conditional(dropout=0.0)
    built.fit(unlabeled, sensitive, conditions=given)
    quota = len(seen[0]) - int((seen[0] == 7).sum())
    for step, conditions in enumerate(seen):
        batch = build_batches("stratified", 40, 12, 8, seed=0).at(step)
        assert conditions[:quota].tolist() == given[0][batch.unlabeled].tolist()
        assert conditions[quota:].tolist() == [7] * len(batch.labeled_sensitive)


@pytest.mark.parametrize(("dropout", "low", "high"), [(0.0, 0, 0), (0.3, 0.15, 0.45)])
def test_a_share_of_the_conditions_is_dropped(dropout, low, high):
    unlabeled, sensitive = images()
    built, seen = conditional(dropout, num_steps=20)
    built.fit(unlabeled, sensitive, conditions=(np.zeros(40, int), np.ones(12, int)))
    assert low <= float((torch.cat(seen) == 10).float().mean()) <= high


# --- divergence -------------------------------------------------------------------------------------------------------


class Diverges:
    """An objective whose value is not finite from the step after `after`."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, denoising_error, labels):
        self.left -= 1
        loss = denoising_error.mean() * (1.0 if self.left >= 0 else float("nan"))
        return loss, {}


def test_a_loss_that_is_not_finite_stops_the_run_naming_the_step_and_the_last_good_state(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"by step 5 \(last good checkpoint: step 4 in") as stopped:
        train(store=CheckpointStore(tmp_path), objective=Diverges(4))
    assert str(tmp_path) in str(stopped.value)
    state = CheckpointStore(tmp_path).latest()
    assert state["step"] == 4
    assert all(torch.isfinite(weight).all() for weight in state["denoiser"].values())


def test_no_state_is_saved_of_a_run_that_has_diverged_unseen_between_two_rows(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"by step 4 \(last good checkpoint: none\)"):
        train(store=CheckpointStore(tmp_path), objective=Diverges(1), log_every=4, checkpoint_every=4)
    assert CheckpointStore(tmp_path).latest() is None


def test_a_run_without_checkpoints_names_none_when_it_diverges():
    with pytest.raises(TrainingDiverged, match=r"by step 1 \(last good checkpoint: none\)"):
        train(objective=Diverges(0))


def test_a_device_that_accelerate_does_not_give_is_an_error():
    settings = parameters()
    with pytest.raises(RuntimeError, match="asked accelerate for meta"):
        Trainer(
            build_denoiser(settings.denoiser, 16, 1, 0),
            build_noise_scheduler(**settings.noise.model_dump()),
            build_objective("unsupervised", None, "none"),
            settings.training,
            error_options={},
            seed=0,
            device="meta",
            precision="fp32",
        )
