"""One loop for all methods: what a training depends on, and what it returns."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pu_diffusion_pipeline.diffusion.compute import compile_denoiser
from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.training.batches import build_batches
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.loop import Learner
from pu_diffusion_pipeline.training.train import Trained, prepare
from tiny_training import (
    NUM_STEPS,
    TRAINED,
    images,
    job,
    losses,
    sets,
    sets_for,
    train,
    train_job,
    weights,
    without_speed,
)


@pytest.fixture(scope="module")
def whole_run() -> Trained:
    """PU training that nothing interrupted."""
    return train()


# --- learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", TRAINED)
def test_loss_falls(method):
    history = train(method, num_steps=60, warmup_steps=2, learning_rate=5e-3).history
    errors = [row["unlabeled_negative"] for row in history]
    assert np.mean(errors[-15:]) < 0.6 * np.mean(errors[:5])


def test_epochs_give_the_steps_of_so_many_passes():
    # 40 and 12 images in batches of 8: 7 steps a pass
    assert train(num_steps=None, num_epochs=2).num_steps == 14


# --- what a training depends on ---------------------------------------------------------------


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
    asked = job(method, num_steps=steps, **training)
    seen = []
    asked.model.unet.register_forward_pre_hook(
        lambda module, given: seen.append(tuple(part.clone() for part in given))
    )
    train_job(asked, sets_for(method, pictures))
    return seen


@pytest.mark.parametrize("batches", ["stratified", "mixed"])
def test_images_noise_and_timesteps_of_u_are_the_same_for_every_method(batches):
    seen = {method: what_the_denoiser_saw(method, batches=batches) for method in TRAINED}
    for step in range(3):
        alone, timesteps = seen["unsupervised"][step]
        assert 0 < len(alone) <= 8
        assert len(seen["pu"][step][0]) == 8
        assert torch.equal(seen["pnu"][step][0][:8], seen["pu"][step][0]), (
            "labeled normal images come on top"
        )
        for method in TRAINED:
            with_sensitive, their_timesteps = seen[method][step]
            assert torch.equal(with_sensitive[: len(alone)], alone)
            assert torch.equal(their_timesteps[: len(alone)], timesteps)
    numbers = {
        method: sum(len(noisy_images) for noisy_images, _ in seen[method]) for method in TRAINED
    }
    assert numbers["unsupervised"] < numbers["pu"] == numbers["supervised"] == 3 * 8
    assert numbers["pnu"] == 3 * 9


def test_methods_start_with_the_same_error_on_u_and_those_that_read_s_with_the_same_on_s():
    plain, supervised, pu = (train(method, num_steps=1).history[0] for method in DEFAULT_METHODS)
    assert plain["unlabeled_negative"] == pytest.approx(supervised["unlabeled_negative"], rel=1e-5)
    assert plain["unlabeled_negative"] == pytest.approx(pu["unlabeled_negative"], rel=1e-5)
    assert (
        supervised["sensitive_negative"]
        == pu["sensitive_negative"]
        != pytest.approx(pu["unlabeled_negative"])
    )


@pytest.mark.parametrize("timesteps", ["stratified", "independent"])
def test_every_image_of_every_step_has_noise_and_timestep_of_its_own(timesteps):
    black = np.zeros((40, 1, 16, 16), dtype=np.uint8), np.zeros((12, 1, 16, 16), dtype=np.uint8)
    seen = what_the_denoiser_saw("pu", pictures=black, timesteps=timesteps)
    noisy_images = torch.cat([noisy for noisy, _ in seen])
    assert len(torch.unique(noisy_images.flatten(1), dim=0)) == 3 * 8
    assert len({tuple(drawn.tolist()) for _, drawn in seen}) == 3


def test_methods_start_from_the_same_weights():
    starts = [
        torch.cat([w.flatten() for w in job(method).model.unet.parameters()])
        for method in DEFAULT_METHODS
    ]
    assert torch.equal(starts[0], starts[1])
    assert torch.equal(starts[0], starts[2])
    other = torch.cat([w.flatten() for w in job(seed=1).model.unet.parameters()])
    assert not torch.equal(starts[0], other)


def test_unsupervised_training_does_not_read_s():
    unlabeled, sensitive = images()
    one = train_job(job("unsupervised"), sets((unlabeled, sensitive)))
    other = train_job(job("unsupervised"), sets((unlabeled, 255 - sensitive)))
    assert torch.equal(weights(one), weights(other))


def test_images_stay_as_they_were():
    unlabeled, sensitive = images()
    train_job(job(), sets((unlabeled, sensitive)))
    for used, fresh in zip((unlabeled, sensitive), images(), strict=True):
        np.testing.assert_array_equal(used, fresh)


@pytest.mark.parametrize(
    ("method", "empty"),
    [("pu", "labeled_sensitive"), ("unsupervised", "unlabeled"), ("pnu", "labeled_normal")],
)
def test_an_empty_set_that_the_method_needs_is_refused_naming_it(method, empty):
    without = sets()._replace(**{empty: ImageSet(images()[0][:0])})
    with pytest.raises(InvalidInput, match=f"the set {empty} is empty"):
        train_job(job(method), without)


def test_a_set_that_the_method_does_not_need_may_be_empty():
    unlabeled, sensitive = images()
    trained = train_job(job("unsupervised"), sets((unlabeled, sensitive[:0])))
    assert trained.num_steps == NUM_STEPS


# --- what a training returns ------------------------------------------------------------------


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
    # diffusers' average: the first step is copied, then the decay grows as k / (k + 9) up to
    # ema_decay.
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
    assert apart > 1e-4, (
        "the averaged weights must differ from the last ones for this to tell anything"
    )


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
    trained = train(compute={"precision": "bf16"}, num_steps=2)
    assert {weight.dtype for weight in trained.denoiser.parameters()} == {torch.float32}
    with torch.inference_mode():
        predicted = trained.denoiser(torch.zeros(1, 1, 16, 16), 0).sample
    assert predicted.dtype == torch.float32
    assert losses(trained) == pytest.approx(losses(whole_run)[:2], rel=0.05)
    assert losses(trained) != losses(whole_run)[:2]


# --- how it is computed -----------------------------------------------------------------------


def test_the_memory_layout_makes_no_difference_but_rounding(whole_run):
    other = train(compute={"channels_last": True})
    assert losses(other) == pytest.approx(losses(whole_run), rel=1e-4)
    assert all(weight.is_contiguous() for weight in other.denoiser.parameters())


@pytest.mark.slow
def test_compiling_makes_no_difference_but_rounding(whole_run):
    assert losses(train(compute={"compile": True})) == pytest.approx(losses(whole_run), rel=1e-3)


class Doubles(torch.nn.Module):
    """Takes what a denoiser takes."""

    def forward(self, noisy_images, timesteps):
        return torch.nn.functional.silu(2 * noisy_images)


def test_without_a_compiler_the_user_is_told(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, "/nowhere/c++"))
    monkeypatch.setattr(config, "force_disable_caches", True)
    torch._dynamo.reset()
    compiled = compile_denoiser(Doubles())
    with pytest.raises(
        InvalidInput, match=r"compute\.compile: torch\.compile does not work here .*install a C\+\+"
    ):
        compiled(torch.ones(2, 4), torch.zeros(2))


@pytest.mark.slow
def test_bf16_follows_fp32_over_200_steps():
    """The mean loss of every 25 steps differs by less than 2 %, and the training learns.

    At a rate at which neighbouring trainings stay together: at 5e-3 rounding alone parts them.
    """
    curves = [
        np.array(losses(train(compute={"precision": precision}, num_steps=200, learning_rate=1e-3)))
        .reshape(-1, 25)
        .mean(axis=1)
        for precision in ("fp32", "bf16")
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.02)
    assert curves[0][-1] < 0.6 * curves[0][0]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_as_the_cpu_does(precision):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    history = train(
        compute={"device": "cuda", "precision": precision}, num_steps=60, learning_rate=5e-3
    ).history
    errors = [row["unlabeled_negative"] for row in history]
    assert np.mean(errors[-15:]) < 0.6 * np.mean(errors[:5])


def test_a_device_that_accelerate_does_not_give_is_an_error():
    asked = job("unsupervised")
    with pytest.raises(RuntimeError, match="asked accelerate for meta"):
        Learner(asked.model.unet, asked.training, NUM_STEPS, "meta", "fp32")


# --- conditions -------------------------------------------------------------------------------


def conditions_seen(
    dropout: float, conditions: tuple[np.ndarray, np.ndarray], num_steps: int = 3
) -> list[torch.Tensor]:
    """The conditions, of ten and the one for none, that the denoiser is given in each step."""
    asked = job("pu", num_conditions=10, condition_dropout=dropout, num_steps=num_steps)
    seen = []
    asked.model.unet.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["class_labels"]), with_kwargs=True
    )
    train_job(asked, sets(conditions=conditions))
    return seen


def test_every_image_is_given_with_its_condition():
    # every image of U shows its own number, every image of S the number 7
    given = (np.arange(40) % 5, np.full(12, 7))
    seen = conditions_seen(0.0, given)
    quota = len(seen[0]) - int((seen[0] == 7).sum())
    for step, conditions in enumerate(seen):
        batch = build_batches("stratified", 40, 12, 8, seed=0).for_step(step)
        assert conditions[:quota].tolist() == given[0][batch.unlabeled].tolist()
        assert conditions[quota:].tolist() == [7] * len(batch.labeled_sensitive)


@pytest.mark.parametrize(("dropout", "low", "high"), [(0.0, 0, 0), (0.3, 0.15, 0.45)])
def test_a_share_of_the_conditions_is_dropped(dropout, low, high):
    seen = conditions_seen(dropout, (np.zeros(40, int), np.ones(12, int)), num_steps=20)
    assert low <= float((torch.cat(seen) == 10).float().mean()) <= high


def test_conditions_for_a_denoiser_that_takes_none_are_refused():
    with pytest.raises(ValueError, match="the denoiser takes none"):
        train_job(job(), sets(conditions=(np.zeros(40, int), np.ones(12, int))))


@pytest.mark.parametrize("batches", ["stratified", "mixed"])
def test_the_probabilities_of_a_batch_are_those_of_its_images(batches):
    """Image i of U is grey level i, and is sensitive with the probability i / 100."""
    unlabeled = np.full((40, 1, 16, 16), np.arange(40)[:, None, None, None], dtype=np.uint8)
    table = pd.DataFrame({"probability": np.arange(40) / 100})
    asked = job("pu_weighted", batches=batches, batch_size=16)
    weighed = sets((unlabeled, images()[1])).weighed(table)
    draws = prepare(asked, weighed).draws
    of_sensitive = 0
    for step in range(4):
        drawn = draws.for_step(step)
        of_unlabeled = drawn.labels == 0
        of_sensitive += int((~of_unlabeled).sum())
        grey = ((drawn.clean_images[:, 0, 0, 0] + 1) * 127.5).round()
        expected = torch.where(of_unlabeled, grey / 100, 1.0)
        torch.testing.assert_close(drawn.probabilities, expected)
        assert of_unlabeled.any()
    assert of_sensitive > 0


def test_a_method_that_weighs_refuses_sets_without_probabilities_or_with_too_few():
    with pytest.raises(InvalidInput, match="expected the probability of each image of U"):
        prepare(job("weighted"), sets())
    with pytest.raises(InvalidInput, match="one for each of the 40 images of U, got 39"):
        sets().weighed(pd.DataFrame({"probability": np.zeros(39)}))
