"""`kedro export-samples`: file i is sample i exactly, the list is true; what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from exports.conftest import OUTPUT, refusal, typed
from exports.test_export_command import change, rewrite
from pu_diffusion_pipeline.exports.pictures import write_pictures

EXPORT = ("export-samples", "--env=test")


def read(folder: Path) -> np.ndarray:
    """(N, C, H, W) of the PNG files, in the order of their names."""
    pictures = [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    images = np.stack(pictures)
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_are_read_back_as_they_were(channels, mode, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, channels, 5, 7), np.uint8)
    write_pictures(tmp_path / "to", images)
    assert [path.name for path in sorted((tmp_path / "to").iterdir())][10:] == [
        "00010.png",
        "00011.png",
    ]
    assert Image.open(tmp_path / "to/00000.png").mode == mode
    np.testing.assert_array_equal(read(tmp_path / "to"), images)


@pytest.mark.parametrize("method", ["pu", "unsupervised"])
def test_file_i_is_sample_i_and_the_list_says_how_it_was_judged(method, in_project, tmp_path):
    folder = OUTPUT if method == "pu" else Path("data/07_model_output/test/unsupervised/seed_0")
    to = tmp_path / "to"
    to.mkdir()  # an empty folder will do
    result = typed(*EXPORT, f"--to={to}", f"--method={method}")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read(to), np.load(folder / "samples/images.npy"))
    listed = json.loads((to / "samples.json").read_text())
    training = json.loads((folder / "metrics.json").read_text())["training"]
    for name in ("method", "beta", "seed", "weights_digest"):
        assert listed[name] == training[name]
    judged = pd.read_csv(folder / "judgements.csv")["judged_sensitive"].tolist()
    assert [image["judged_sensitive"] for image in listed["images"]] == judged
    assert listed["num_judged_sensitive"] == sum(judged) > 0
    assert f"took {sum(judged)} of them for sensitive" in result.output
    names = {image["file"] for image in listed["images"]}
    assert {path.name for path in to.iterdir()} == names | {"samples.json"}


def test_the_first_ones_only(in_project, tmp_path):
    assert typed(*EXPORT, f"--to={tmp_path / 'to'}", "--num=5").exit_code == 0
    expected = np.load(OUTPUT / "samples/images.npy")[:5]
    np.testing.assert_array_equal(read(tmp_path / "to"), expected)
    listed = json.loads((tmp_path / "to/samples.json").read_text())
    assert (len(listed["images"]), listed["num_saved"]) == (5, 24)


def test_samples_whose_evaluation_is_not_finished_are_said_not_to_be_judged(in_copy):
    (in_copy / OUTPUT / "metrics.json").unlink()
    result = typed(*EXPORT, "--to=to")
    assert "Nobody has judged them" in result.output
    assert "--pipelines=evaluate_pu" in result.output
    listed = json.loads((in_copy / "to/samples.json").read_text())
    assert listed["num_judged_sensitive"] is None
    assert {image["judged_sensitive"] for image in listed["images"]} == {None}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--params=seed:7",), ["no samples of pu", "--pipelines=sample_pu --params=seed:7"]),
        (("--method=pu_filtered",), ["no samples of pu_filtered", "=sample_pu_filtered"]),
        (("--method=puu",), ["--method", "did you mean pu?", "got 'puu'"]),
        (("--env=tset",), ["no benchmark 'tset'"]),
        (("--num=0",), ["--num"]),
        (("--num=25",), ["--num: expected at most 24", "got 25"]),
        (("--to=conf",), ["--to: expected a new or empty folder, but conf is there"]),
        (("--to=nowhere/to",), ["nowhere to write to to; make it first"]),
        (("--to=/proc/to",), ["/proc/to cannot be written"]),
        (("--to=",), ["--to"]),
    ],
)
def test_a_mistake_gets_one_message_and_nothing_is_written(options, words, in_project):
    before = sorted(path.name for path in in_project.iterdir())
    message = refusal(*EXPORT, "--to=to", *options)
    for word in words:
        assert word in message
    assert sorted(path.name for path in in_project.iterdir()) == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda output: change(output / "samples/images.npy"),
            ["is not what was saved", "sample_pu"],
        ),
        (
            lambda output: change(output / "judgements.csv"),
            ["is not what was saved", "evaluate_pu"],
        ),
        (
            lambda output: rewrite(output / "metrics.json", "training.weights_digest", "x"),
            ["the metrics of this run", "evaluate_pu"],
        ),
        (lambda output: shutil.rmtree(output / "samples"), ["no samples of pu", "sample_pu"]),
    ],
)
def test_samples_that_are_not_what_was_saved_are_refused(damage, words, in_copy):
    damage(in_copy / OUTPUT)
    message = refusal(*EXPORT, "--to=to")
    for word in words:
        assert word in message
    assert not (in_copy / "to").exists()


def test_an_export_that_fails_leaves_nothing(in_project, tmp_path, monkeypatch):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    (tmp_path / "place").mkdir()
    message = refusal(*EXPORT, f"--to={tmp_path / 'place/to'}")
    assert "No space left on device" in message
    assert list((tmp_path / "place").iterdir()) == []
