"""What is refused before the first node, and artifacts that somebody has put there."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from pu_diffusion_pipeline.diffusion.options import ComputeOptions
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.requirements import refuse_missing_device

MODEL = "data/06_models/test"
OUTPUT = "data/07_model_output/test"
PU = "pu/beta_0.1-seed_0"


@pytest.fixture
def finished_copy(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [("cuda", "auto", "this machine has none"), ("cpu", "fp16", "fp16 needs a GPU")],
)
def test_a_device_that_is_not_there_is_refused_before_the_first_node(device, precision, message):
    options = ComputeOptions(device=device, precision=precision, channels_last=False, compile=False)
    with pytest.raises(InvalidInput, match=message):
        refuse_missing_device(options)


def test_the_first_node_does_not_run_where_the_device_is_missing(tmp_path, run):
    with pytest.raises(InvalidInput, match=r"compute\.precision fp16"):
        run(tmp_path, "train_pu", compute={"precision": "fp16"})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_method_are_refused(finished_copy, run):
    name = "model/unet/diffusion_pytorch_model.safetensors"
    shutil.copy(
        finished_copy / MODEL / "supervised/seed_0" / name, finished_copy / MODEL / PU / name
    )
    with pytest.raises(InvalidInput, match="sample pu: its weights are not those"):
        run(finished_copy, "sample_pu")


def test_weights_that_are_no_numbers_are_refused(finished_copy, run):
    path = finished_copy / MODEL / PU / "model/unet/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    next(iter(weights.values()))[:] = float("nan")
    save_file(weights, path)
    manifest = finished_copy / MODEL / PU / "manifest.json"
    record = json.loads(manifest.read_text())
    del record["weights_digest"]
    manifest.write_text(json.dumps(record))
    with pytest.raises(InvalidInput, match="holds values that are not finite"):
        run(finished_copy, "sample_pu")


def test_edited_images_are_refused(finished_copy, run):
    path = finished_copy / OUTPUT / PU / "samples/images.npy"
    np.save(path, 255 - np.load(path))
    with pytest.raises(InvalidInput, match=r"pu\.samples .*the images are not those"):
        run(finished_copy, "evaluate_pu")


def test_an_edited_manifest_is_refused(finished_copy, run):
    path = finished_copy / OUTPUT / PU / "samples/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"]["sampling.num_steps"] = 99
    path.write_text(json.dumps(manifest))
    with pytest.raises(InvalidInput, match=r"sampling\.num_steps: made with 99"):
        run(finished_copy, "evaluate_pu")


def test_a_class_prior_that_is_no_number_trains_nothing(finished_copy, run):
    path = finished_copy / "data/04_feature/test/seed_0/class_prior.json"
    path.write_text(path.read_text().replace('"estimate": ', '"estimate": NaN, "was": ', 1))
    from pu_diffusion_pipeline.positive_unlabeled.class_prior import choose_beta

    with pytest.raises(InvalidInput, match=r"the estimate is nan .*damaged"):
        choose_beta("estimated", json.loads(path.read_text()))


def test_a_folder_that_a_kill_left_half_replaced_is_whole_again(finished_copy, run):
    samples = finished_copy / OUTPUT / PU / "samples"
    before = (samples / "images.npy").read_bytes()
    from pu_diffusion_pipeline.atomic_write import _host

    samples.rename(samples.with_name(f".old-{_host()}-999999999-01234567-samples"))
    litter = samples.with_name(f".tmp-{_host()}-999999999-01234567-samples")
    litter.mkdir()
    run(finished_copy, "evaluate_pu")
    assert (samples / "images.npy").read_bytes() == before
    assert not litter.exists()


def test_saved_models_do_not_hold_the_path_they_were_made_at(finished_run):
    texts = [path.read_text() for path in finished_run.rglob("model/**/*.json")]
    assert texts
    assert not [text for text in texts if str(finished_run) in text]
