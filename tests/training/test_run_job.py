"""Jobs without Kedro: in one process, in two, by a launcher, and watched."""

import contextlib
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save

import pu_diffusion_pipeline
from pu_diffusion_pipeline.diffusion.processes import check_devices
from pu_diffusion_pipeline.diffusion.weights_check import weights_digest
from pu_diffusion_pipeline.errors import InvalidInput, TrainingDiverged
from pu_diffusion_pipeline.metrics.fidelity import build_extractor, extract_features
from pu_diffusion_pipeline.metrics.judge import Judge
from pu_diffusion_pipeline.training import job_folder
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.job import Job, run_job
from pu_diffusion_pipeline.training.job_folder import JobFolder
from pu_diffusion_pipeline.training.judged_samples import WatchSetup
from pu_diffusion_pipeline.training.launch import WORKER
from pu_diffusion_pipeline.training.train import Trained
from tiny_training import NUM_STEPS, images, job, losses, normal_images, parameters, sets, weights

SOURCE = str(Path(pu_diffusion_pipeline.__file__).parents[1])


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Trained:
    """The job in one process, unwatched."""
    return run_job(job(), CheckpointStore(tmp_path_factory.mktemp("alone") / "states"), sets())


@pytest.fixture
def workers_find_the_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", SOURCE)


def is_same_training(trained: Trained, other: Trained) -> bool:
    assert losses(trained) == pytest.approx(losses(other), rel=1e-4)
    return True


# --- in one process -------------------------------------------------------------------------------


def test_what_is_written_down_about_a_training(store):
    asked = job()
    digest = sets().digest(asked.model.unet)  # before its weights are trained
    trained = run_job(asked, store, sets())
    record = asked.record(trained)
    assert list(record.items())[:8] == [
        ("method", "pu"),
        ("beta", 0.1),
        ("seed", 0),
        ("data_digest", digest),
        ("device", "cpu"),
        ("precision", "fp32"),
        ("num_processes", 1),
        ("num_steps", NUM_STEPS),
    ]
    assert list(record)[8:] == ["num_parameters", "weights_digest", "seconds"]
    assert record["weights_digest"] == weights_digest(trained.denoiser)
    assert record["num_parameters"] == len(weights(trained))
    assert record["seconds"] == round(trained.seconds, 2)


def test_a_finished_job_is_read_and_not_trained_again(store):
    first = run_job(job(), store, sets())
    again = run_job(job(), store, sets())
    assert torch.equal(weights(first), weights(again))
    assert (first.seconds, first.data_digest) == (again.seconds, again.data_digest)


def test_a_job_on_other_images_is_refused(store):
    unlabeled, sensitive = images()
    run_job(job(), store, sets())
    with pytest.raises(InvalidInput, match="made on other images"):
        run_job(job(), store, sets((unlabeled, 255 - sensitive)))


def test_a_training_keeps_the_beta_that_it_has_begun_with(store, caplog):
    first = run_job(job(), store, sets())
    other = replace(job(), beta=0.4)  # estimated anew, on another machine
    again = run_job(other, store, sets())
    assert torch.equal(weights(first), weights(again))
    assert other.record(again)["beta"] == 0.1
    assert "begun with beta 0.1, so it keeps it; now it is 0.4" in caplog.text


def test_a_job_that_waits_for_a_launcher_is_not_taken_for_another(store):
    external = job(num_processes="external")
    for _ in range(2):
        with pytest.raises(InvalidInput, match="torchrun --nproc-per-node"):
            run_job(external, store, sets())
    unlabeled, sensitive = images()
    for asked, given in (
        (replace(external, beta=0.4), sets()),
        (external, sets((unlabeled, 255 - sensitive))),
    ):
        with pytest.raises(InvalidInput, match="holds a job of other parameters, images or"):
            run_job(asked, store, given)


# --- in several -----------------------------------------------------------------------------------


def listening_addresses() -> tuple[int, set[str]]:
    """How many workers there are, and the addresses at which they take connections.

    Other children, such as those of Ray, belong to other tests.
    """
    count, addresses = 0, set()
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if WORKER in process.cmdline():
                count += 1
                found = process.net_connections("inet")
                addresses |= {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
    return count, addresses


class InTwo(NamedTuple):
    """The job in two processes, and the addresses at which they took connections."""

    trained: Trained
    store: CheckpointStore
    addresses: set[str]


@pytest.fixture(scope="module")
def in_two(tmp_path_factory) -> InTwo:
    store = CheckpointStore(tmp_path_factory.mktemp("two") / "run #1?" / "checkpoints")
    (store.folder.parent.parent / "run ").touch()  # what is left of the path as a URL
    seen = []
    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", SOURCE)
        training = pool.submit(run_job, job(num_processes=2), store, sets())
        while not training.done():
            seen.append(listening_addresses())
            time.sleep(0.02)
    addresses = set().union(*(found for count, found in seen if count == 2))
    return InTwo(training.result(), store, addresses)


def test_two_processes_train_as_one(in_two, alone):
    assert is_same_training(in_two.trained, alone)
    assert in_two.trained.data_digest == alone.data_digest
    assert not (in_two.store.folder / "job").exists()


def test_two_processes_open_no_port_to_the_network(in_two):
    assert in_two.addresses, "the two must have been seen while they were connected"
    assert in_two.addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.slow
def test_processes_can_be_started_by_a_launcher(store, alone):
    external = {"num_processes": "external"}
    for _ in range(2):  # a job that lies there is left alone
        with pytest.raises(InvalidInput, match="torchrun --nproc-per-node") as told:
            run_job(job(**external), store, sets())
    module, folder = re.search(r"-m (\S+) (\S+)\n", str(told.value)).groups()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = {**os.environ, "PYTHONPATH": SOURCE}
    subprocess.run(
        [*command, "-m", module, folder], env=env, check=True, capture_output=True, timeout=300
    )
    assert is_same_training(run_job(job(**external), store, sets()), alone)
    assert not (store.folder / "job").exists()


@pytest.mark.slow
def test_a_mistake_in_a_process_is_told_as_in_one(store, workers_find_the_package):
    asked = job(num_processes=2, learning_rate=1e30, num_steps=40)
    with pytest.raises(TrainingDiverged, match="The loss or its gradient is not finite"):
        run_job(asked, store, sets())


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda", "at most 1, the GPUs"), ("mps", "needs compute.device cuda or cpu")],
)
def test_more_processes_than_devices_are_refused(device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidInput, match=message):
        check_devices(device, 2, "training.num_processes")


# --- the folder -----------------------------------------------------------------------------------


def saved(folder: JobFolder, asked: Job, watch: WatchSetup | None = None) -> None:
    folder.save(asked.model, asked.description(), sets(), watch, "digest")


def test_a_job_comes_back_from_its_folder(tmp_path):
    folder = JobFolder(tmp_path / "job")
    asked = job(micro_batches=2, condition_dropout=0.3)
    saved(folder, asked)
    back = Job.described(folder.model(), folder.description())
    assert replace(back, model=None) == replace(asked, model=None)
    for name, weight in asked.model.unet.state_dict().items():
        assert torch.equal(back.model.unet.state_dict()[name], weight)
    for part, other in zip(folder.sets().images, sets().images, strict=True):
        np.testing.assert_array_equal(part, other)
    assert folder.watch() is None


def test_pretraining_is_a_job_like_any_other(tmp_path):
    options = parameters().training.model_dump()
    from pu_diffusion_pipeline.training.options import PretrainingOptions

    asked = replace(job(), training=PretrainingOptions(**options, seed=5))
    back = Job.described(None, asked.description())
    assert back.training == parameters().training


def test_a_job_that_other_code_has_prepared_is_refused_naming_the_module(tmp_path, monkeypatch):
    folder = JobFolder(tmp_path / "job")
    saved(folder, job())
    now = job_folder.running_code()
    monkeypatch.setattr(job_folder, "running_code", lambda: {**now, "training/loop.py": "other"})
    with pytest.raises(InvalidInput, match=r"prepared by other code .*\(training/loop.py\)"):
        folder.description()


def test_a_mistake_is_raised_once(tmp_path):
    folder = JobFolder(tmp_path / "job")
    saved(folder, job())
    folder.save_mistake(InvalidInput("beta is wrong"))
    with pytest.raises(InvalidInput, match="beta is wrong"):
        folder.raise_mistake()
    folder.raise_mistake()
    assert not folder.is_prepared


# --- watched --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge() -> Judge:
    """One that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Judge(1, 16, 10, (0, 2, 4, 6, 8)).eval()


@pytest.fixture
def setup(judge, tmp_path):
    """A function that makes what a training is watched with."""
    options = parameters()
    reference = extract_features(
        np.tile(normal_images(), (10, 1, 1, 1)), build_extractor("judge", judge, None), 20, "cpu"
    )

    def make(**watch) -> WatchSetup:
        given = {"every": 2, "num_images": 16, **watch}
        return WatchSetup(
            judge,
            reference,
            tmp_path / "watch",
            options.watch.model_copy(update=given),
            options.sampling,
            options.evaluation,
        )

    return make


def looks(setup: WatchSetup) -> pd.DataFrame:
    return pd.read_csv(setup.folder / "looks.csv")


@pytest.mark.parametrize("keep", ["last", "all"])
def test_watching_changes_nothing_and_writes_down_what_it_sees(store, setup, alone, keep):
    watch = setup(keep=keep)
    trained = run_job(job(), store, sets(), watch)
    assert torch.equal(weights(trained), weights(alone))
    assert looks(watch)["step"].tolist() == [2, 4, 6, 8]
    assert (
        looks(watch)["non_sensitive_rate"].between(looks(watch)["low"], looks(watch)["high"]).all()
    )
    assert (looks(watch)["frechet_distance"] > 0).all()
    pictures = [np.asarray(Image.open(watch.folder / f"step_0000000{step}.png")) for step in (2, 8)]
    assert not np.array_equal(*pictures)
    assert (watch.folder / "curve.png").is_file()
    kept = [path.name for path in sorted(watch.folder.glob("weights/*"))]
    steps = (2, 4, 6, 8) if keep == "all" else ()
    assert kept == [f"step_0000000{step}.safetensors" for step in steps]


def test_the_last_look_is_at_the_averaged_weights_that_become_the_model(store, setup):
    watch = setup(keep="all")
    trained = run_job(job(), store, sets(), watch)
    last = load_file(watch.folder / "weights/step_00000008.safetensors")
    for name, weight in trained.denoiser.state_dict().items():
        assert torch.equal(last[name], weight)


@pytest.mark.parametrize("criterion", ["frechet_distance", "non_sensitive_rate"])
def test_the_best_look_becomes_the_model(store, setup, criterion):
    watch = setup(keep="best", criterion=criterion)
    trained = run_job(job(), store, sets(), watch)
    values = looks(watch).set_index("step")[criterion]
    best = values.idxmin() if criterion == "frechet_distance" else values.idxmax()
    chosen = load_file(watch.folder / f"weights/step_{best:08d}.safetensors")
    for name, weight in trained.denoiser.state_dict().items():
        assert torch.equal(chosen[name], weight)


@pytest.mark.slow
def test_two_processes_are_watched_by_the_first(store, setup, workers_find_the_package):
    watch = setup(every=3, num_images=8)
    run_job(job(num_processes=2), store, sets(), watch)
    assert looks(watch)["step"].tolist() == [3, 6]


def test_a_watch_without_steps_between_looks_is_none(store, setup, alone):
    watch = setup(every=None)
    assert torch.equal(weights(run_job(job(), store, sets(), watch)), weights(alone))
    assert not watch.folder.exists()


def test_looks_of_a_training_that_is_made_anew_are_deleted_and_those_of_a_finished_one_stay(
    store, setup
):
    watch = setup(every=4)
    watch.folder.mkdir(parents=True)
    (watch.folder / "step_00000001.png").touch()
    run_job(job(), store, sets(), watch)
    assert not (watch.folder / "step_00000001.png").exists()
    (watch.folder / "curve.png").unlink()
    run_job(job(), store, sets(), watch)
    assert looks(watch)["step"].tolist() == [4, 8]
    assert not (watch.folder / "curve.png").exists(), "nobody looks at a finished training"


@pytest.mark.parametrize("keep", ["last", "best", "all"])
def test_a_training_that_ends_before_the_first_look_is_refused(store, setup, keep):
    with pytest.raises(
        InvalidInput, match=r"watch\.every must be at most 8, the steps of this training, got 50"
    ):
        run_job(job(), store, sets(), setup(every=50, keep=keep))


def looks_that_found_no_room(caplog) -> int:
    found = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert all(
        re.match(r"The look of step \d could not be written \(No space", one) for one in found
    )
    return len(found)


def test_training_goes_on_when_no_look_finds_room(store, setup, alone, disk, caplog):
    watch = replace(setup(keep="all"), folder=disk(1) / "watch")
    trained = run_job(job(), store, sets(), watch)
    assert torch.equal(weights(trained), weights(alone))
    assert looks_that_found_no_room(caplog) == 4
    assert [path for path in watch.folder.rglob("*") if path.is_file()] == []


def test_the_best_look_is_one_whose_weights_found_room(store, setup, disk, caplog):
    size = len(save(job().model.unet.state_dict()))
    watch = replace(setup(keep="best"), folder=disk(size, more=2) / "watch")
    trained = run_job(job(), store, sets(), watch)
    assert looks_that_found_no_room(caplog) > 0
    rows = looks(watch)
    best = rows["step"][rows["frechet_distance"].idxmin()]
    chosen = load_file(watch.folder / "weights" / f"step_{best:08d}.safetensors")
    for name, weight in trained.denoiser.state_dict().items():
        assert torch.equal(chosen[name], weight)


@pytest.mark.parametrize("more", [0, 3])
def test_without_room_for_any_look_there_are_no_best_weights(store, setup, disk, more):
    watch = replace(setup(keep="best"), folder=disk(1, more) / "watch")
    with pytest.raises(InvalidInput, match=r"no look could be written to .*watch.* Make room"):
        run_job(job(), store, sets(), watch)
    assert store.latest()["step"] == 6, "the training is there to go on from"


def test_a_job_that_finds_no_room_is_an_error_that_says_so(disk, workers_find_the_package):
    store = CheckpointStore(disk(1, more=7) / "run" / "checkpoints")
    with pytest.raises((OSError, SafetensorError), match="No space left on device"):
        run_job(job(num_processes=2), store, sets())
    assert not JobFolder(store.folder / "job").is_prepared


def test_reference_features_of_another_judge_are_refused(store, setup):
    watch = setup()
    other = replace(watch, reference=watch.reference._replace(weights_digest="other"))
    with pytest.raises(InvalidInput, match="reference features were made by"):
        run_job(job(), store, sets(), other)


def test_a_watch_comes_back_from_the_folder_of_its_job(tmp_path, setup):
    folder = JobFolder(tmp_path / "job")
    watch = setup(keep="all")
    saved(folder, job(), watch)
    back = folder.watch()
    assert (back.watch, back.sampling, back.evaluation) == (
        watch.watch,
        watch.sampling,
        watch.evaluation,
    )
    assert back.folder == watch.folder
    assert back.judge.weights_digest == watch.judge.weights_digest
    np.testing.assert_array_equal(back.reference.values, watch.reference.values)
    assert back.reference[1:] == watch.reference[1:]
