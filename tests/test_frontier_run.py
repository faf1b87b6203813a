"""The pipeline `frontier` on made-up images: every method beside the others."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import REPO
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.methods import FRONTIER
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.image_set import ImageSet

OUTPUT = "data/07_model_output/test"
SMALL = {"sensitivity": {"folds": 2, "repeats": 1, "num_components": 8, "num_resamples": 20}}

MUON = {"training": {"muon_learning_rate": 0.02}}


@pytest.fixture(scope="module")
def frontier_run(tmp_path_factory, session):
    folder = tmp_path_factory.mktemp("frontier")
    with session(folder, **SMALL, **MUON) as opened:
        opened.run(pipeline_name="frontier")
    return folder


def samples(folder, method: str) -> ImageSet:
    (path,) = (folder / OUTPUT / method).glob("*/samples")
    return ImageSet.from_pretrained(path)


def test_every_method_is_a_point_under_its_own_name(frontier_run):
    (path,) = (frontier_run / "data/08_reporting/test/runs").glob("*/frontier.csv")
    points = pd.read_csv(path)
    assert set(points["method"]) == set(FRONTIER)
    assert points["is_on_front"].any()
    assert points["second_nsr"].between(0, 1).all()
    assert points["relearned_nsr"].isna().all()
    assert path.with_suffix(".md").read_text().count("\n| ") == len(FRONTIER) + 1
    assert path.with_suffix(".png").is_file()


def test_cleaning_leaves_fewer_images_and_a_smaller_share(frontier_run):
    (path,) = (frontier_run / "data/04_feature/test").glob("*/cleaning.json")
    report = json.loads(path.read_text())
    assert report["num_kept"] < report["num_images"] == 110
    assert report["beta_after"] < report["beta_before"]
    (path,) = (frontier_run / "data/06_models/test/pu_clean").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["beta"]["value"] == report["beta_after"]
    assert manifest["num_images"]["unlabeled"] == report["num_kept"]


def test_filtered_samples_are_some_of_those_that_were_drawn(frontier_run):
    kept = samples(frontier_run, "pu_filtered")
    assert len(kept.images) == 24
    assert kept.manifest["filtered"] == {"num_drawn": 27, "num_dropped": 3}
    plain = {image.tobytes() for image in samples(frontier_run, "pu").images}
    shared = sum(image.tobytes() in plain for image in kept.images)
    assert 21 <= shared <= 24  # image i depends on the seed and on i alone


def test_guided_samples_start_from_the_noise_of_the_plain_ones_and_differ(frontier_run):
    plain, guided = samples(frontier_run, "pu").images, samples(frontier_run, "pu_guided").images
    assert (plain != guided).any()
    assert np.corrcoef(plain.ravel(), guided.ravel())[0, 1] > 0.5


def test_a_model_of_any_method_can_be_attacked(frontier_run, session):
    check = {"relearning": {"num_steps": 4, "every": 2, "num_images": 8}}
    with session(frontier_run, **SMALL, **MUON, **check) as opened:
        opened.run(pipeline_name="relearn_pu_clean")
    (path,) = (frontier_run / OUTPUT / "pu_clean").glob("*/relearned.json")
    record = json.loads(path.read_text())
    rates = pd.read_csv(path.parent / "relearning/rates.csv")
    assert (record["step"], list(rates["step"])) == (4, [0, 2, 4])
    assert record["non_sensitive_rate"] == rates["non_sensitive_rate"].iloc[-1]


def test_an_attack_with_the_configured_options_is_found_beside_the_metrics():
    catalog = open_loader(REPO / "conf", "test", {})["catalog"]
    for method in ("pu", "clean"):
        paths = [Path(catalog[f"{method}.{one}"]["filepath"]) for one in ("metrics", "relearned")]
        assert paths[0].parent == paths[1].parent


def test_what_is_recommended_ends_in_a_report_on_its_three_methods(frontier_run, session):
    with session(frontier_run, **SMALL, **MUON) as opened:
        opened.run(pipeline_name="recommended", only_missing_outputs=True)
    (path,) = (frontier_run / "data/08_reporting/test").glob("*/report.html")
    page = path.read_text()
    buttons = re.findall(r'<label for="method-\d">(.*?)</label>', page)
    assert buttons == ["unsupervised", "pu", "pu_clean_filtered"]
    assert "<td>pu_clean</td>" in page  # whose training it was
    assert "What each method prevents and what it costs" in page


def test_guiding_refuses_a_model_that_is_not_there_and_names_the_command(finished_run, session):
    with (
        session(finished_run, training={"num_steps": 7}) as opened,
        pytest.raises(
            InvalidInput, match=r"unsupervised.model .* made by kedro run --pipeline=train_unsuper"
        ),
    ):
        opened.run(pipeline_name="sample_pu_guided")
