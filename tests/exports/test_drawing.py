"""`kedro sample-images`: image i depends on the seed and on i alone; what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exports.conftest import OUTPUT, refusal, typed
from exports.test_folder import conditional_run
from hostile_models import write_model
from pu_diffusion_pipeline.exports.card import CardOptions
from pu_diffusion_pipeline.exports.folder import write_folder

FEW = ("--steps=3", "--batch-size=4")


def draw(model: Path, to: Path, *options: str) -> dict[str, bytes]:
    """Name to content of what is drawn."""
    result = typed("sample-images", str(model), f"--to={to}", *FEW, *options)
    assert result.exit_code == 0, result.output
    return {path.name: path.read_bytes() for path in sorted(to.iterdir())}


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path)).astype(int)


def test_the_same_command_draws_the_same_bytes_and_more_images_begin_alike(exported, tmp_path):
    few = draw(exported, tmp_path / "few", "--num=4")
    assert list(few) == [f"0000{index}.png" for index in range(4)]
    assert draw(exported, tmp_path / "again", "--num=4") == few
    many = draw(exported, tmp_path / "many", "--num=9")
    assert len(many) == 9
    assert {name: many[name] for name in few} == few
    assert len(set(many.values())) == 9
    assert draw(exported, tmp_path / "other", "--num=4", "--seed=1") != few


def test_batches_of_another_size_draw_the_same_images(exported, tmp_path):
    draw(exported, tmp_path / "few", "--num=5")
    draw(exported, tmp_path / "one", "--num=1", "--batch-size=1")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["00000.png"]
    first = [pixels(tmp_path / name / "00000.png") for name in ("few", "one")]
    assert np.abs(first[0] - first[1]).max() <= 1


def test_the_exported_model_draws_the_samples_that_were_judged(exported, finished_run, tmp_path):
    draw(exported, tmp_path / "to", "--num=20", "--batch-size=10")  # as the run's
    samples = np.load(finished_run / OUTPUT / "samples/images.npy")[:20, 0]
    drawn = [pixels(path) for path in sorted((tmp_path / "to").iterdir())]
    np.testing.assert_array_equal(drawn, samples)


def test_any_unconditional_model_will_do_and_an_empty_folder(tmp_path):
    write_model(tmp_path / "model")
    (tmp_path / "to").mkdir()
    draw(tmp_path / "model", tmp_path / "to", "--num=2")
    assert pixels(tmp_path / "to/00001.png").shape == (16, 16, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "to"}


@pytest.fixture
def model(exported, tmp_path) -> Path:
    """A copy of the exported model, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--num=0",), "--num"),
        (("--num=many",), "--num"),
        (("--seed=-1",), "--seed"),
        (("--steps=0",), "--steps"),
        (("--steps=51",), "--steps: expected at most 50"),
        (("--batch-size=0",), "--batch-size"),
        (("--to=full",), "--to: expected a new or empty folder, but full is there"),
        (("--to=full/file",), "--to: expected a new or empty folder"),
        (("--to=nowhere/to",), "nowhere to write to to; make it first"),
        (("--to=/proc/to",), "/proc/to cannot be written"),
        (("--to=",), "--to"),
    ],
)
def test_a_mistake_gets_one_message_and_nothing_is_written(
    options, words, model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert words in refusal("sample-images", "model", "--to=to", *options)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "full"}


def spoil(file: str, **values: object):
    """Other values in a JSON file of a model."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**content, **values}))

    return change


def as_conditional(folder: Path) -> None:
    shutil.rmtree(folder)
    write_folder(folder, conditional_run(), CardOptions("model"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shutil.rmtree, "no model in model: it has no model_index.json"),
        (lambda folder: (folder / "model_index.json").unlink(), "no model in model"),
        (as_conditional, "model draws images of given classes"),
        (
            spoil("model_index.json", unet=["diffusers", "UNet2DConditionModel"]),
            "whose unet is diffusers.UNet2DConditionModel",
        ),
        (spoil("unet/config.json", in_channels=4, out_channels=4), "expected 1 or 3 channels"),
        (spoil("unet/config.json", sample_size="16"), "model/unet/config.json: sample_size"),
        (
            lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"x"),
            "is damaged",
        ),
    ],
)
def test_a_folder_that_is_no_fit_model_is_refused(change, words, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change(model)
    message = refusal("sample-images", "model", "--to=to")
    assert words in message
    assert "pretrained:" not in message
    assert not (tmp_path / "to").exists()
