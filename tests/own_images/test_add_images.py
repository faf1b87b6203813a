"""`kedro add-images`: what it says and writes, and what it refuses."""

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from exports.conftest import make_project, refusal, typed
from own_images.conftest import write_photos
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.own_images.settings import levels, steps_for


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project as the current folder."""
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def quick(monkeypatch):
    """No timing."""
    monkeypatch.setattr(
        "pu_diffusion_pipeline.own_images.command.step_of_a_run", lambda _: (0.1, 0.01)
    )


def test_it_says_what_it_found_and_the_next_commands(added):
    _, said = added
    assert "unlabeled/       110 images" in said
    assert "sensitive/        24 images" in said
    assert "warning: sensitive/ has 24 images" in said
    assert "warning: there is no test/" in said
    assert "kedro run --env=photos --pipeline=review" in said
    assert said.rstrip().endswith("kedro run --env=photos")


def test_the_written_parameters_fit_the_folder(photos, project, quick):
    assert typed("add-images", str(photos), "--name=photos", "--minutes=2").exit_code == 0
    text = (project / "conf/photos/parameters.yml").read_text()
    assert "# Images: unlabeled/ 110, sensitive/ 24." in text
    parameters = open_loader(project / "conf", "photos", {}).final_parameters()
    assert parameters.data.root == str(photos)
    assert (parameters.data.image_size, parameters.data.channels) == (32, 1)
    assert parameters.data.counts is None
    assert not parameters.data.has_truth
    assert parameters.training.num_steps == 1000  # 1,200 would be more than 100 passes
    assert parameters.evaluation.kid_subset_size <= 11 // 2  # of the part held out
    assert all(len(line) <= 100 for line in text.splitlines() if str(photos) not in line)


def test_a_dry_run_writes_nothing_and_shows_the_file(photos, project, quick):
    before = sorted(project.rglob("*"))
    result = typed("add-images", str(photos), "--name=photos", "--dry-run")
    assert 'benchmark: "photos"' in result.output
    assert sorted(project.rglob("*")) == before


def test_colour_makes_three_channels_and_a_size_is_taken(tmp_path, project, quick):
    photos = write_photos(tmp_path / "photos", num_normal=20)
    Image.new("RGB", (90, 80), "red").save(photos / "unlabeled/red.png")
    assert typed("add-images", str(photos), "--name=photos", "--size=64").exit_code == 0
    parameters = open_loader(project / "conf", "photos", {}).final_parameters()
    assert (parameters.data.image_size, parameters.data.channels) == (64, 3)
    assert len(parameters.denoiser.block_out_channels) == 6


def test_labels_are_noticed(tmp_path, project, quick):
    photos = write_photos(tmp_path / "photos", num_normal=20)
    (photos / "labels.csv").write_text("path,sensitive\n")
    assert typed("add-images", str(photos), "--name=photos").exit_code == 0
    written = OmegaConf.load(project / "conf/photos/parameters.yml")
    assert written.data.folder.labels is True


def test_few_examples_do_with_labels_and_a_share(tmp_path, project, quick):
    photos = write_photos(tmp_path / "photos", num_normal=20)
    CHANGES["few"](photos)
    (photos / "labels.csv").write_text("path,sensitive\n")
    given = ["add-images", str(photos), "--name=photos"]
    assert "the share in unlabeled/ as --beta" in refusal(*given)
    result = typed(*given, "--beta=0.15")
    assert result.exit_code == 0, result.output
    assert "--pipeline=review" not in result.output  # its classifier needs more
    text = (project / "conf/photos/parameters.yml").read_text()
    assert "--beta=0.15" in text.splitlines()[0]
    parameters = open_loader(project / "conf", "photos", {}).final_parameters()
    assert (parameters.beta, parameters.sensitivity.beta) == (0.15, 0.15)


def test_it_writes_nothing_into_the_folder(tmp_path, project, quick):
    photos = write_photos(tmp_path / "photos", num_normal=20)
    before = {path: path.stat().st_mtime_ns for path in [photos, *photos.rglob("*")]}
    assert typed("add-images", str(photos), "--name=photos").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in [photos, *photos.rglob("*")]} == before


def keep_first(folder: Path, count: int) -> None:
    for path in sorted(folder.iterdir())[count:]:
        path.unlink()


def break_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"no image")


CHANGES = {
    "no sensitive": lambda photos: shutil.rmtree(photos / "sensitive"),
    "empty sensitive": lambda photos: keep_first(photos / "sensitive", 0),
    "one image": lambda photos: keep_first(photos / "sensitive", 1),
    "few": lambda photos: keep_first(photos / "sensitive", 12),
    "broken": lambda photos: break_all(photos / "unlabeled"),
    "in both": lambda photos: shutil.copy(
        next((photos / "sensitive").iterdir()), photos / "unlabeled/copy.png"
    ),
}


@pytest.mark.parametrize(
    ("change", "arguments", "expected"),
    [
        (None, ["--name=Photos"], "--name: expected up to 100 of a-z, 0-9 and _"),
        (None, ["--name=digits_even"], "is the default benchmark"),
        ("few", ["--name=photos"], "sensitive/ has 12 images: expected at least 20"),
        (None, ["--name=test"], "conf/test exists; choose another name"),
        (None, ["--name=photos", "--size=40"], "--size must be a multiple of"),
        ("no sensitive", ["--name=photos"], "sensitive"),
        ("empty sensitive", ["--name=photos"], "sensitive"),
        ("one image", ["--name=photos"], "sensitive"),
        ("broken", ["--name=photos"], "cannot be read"),
        ("in both", ["--name=photos"], "data.folder.duplicates"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_written(
    change, arguments, expected, tmp_path, project, quick
):
    photos = write_photos(tmp_path / "photos", num_normal=20)
    if change is not None:
        CHANGES[change](photos)
    before = sorted(project.rglob("*"))
    said = refusal("add-images", str(photos), *arguments)
    assert expected in said
    assert sorted(project.rglob("*")) == before


def test_a_missing_folder_is_named(project, quick):
    assert "/nowhere" in refusal("add-images", "/nowhere", "--name=photos")


def test_every_level_of_the_denoiser_halves_the_image():
    for size in range(32, 513, 16):
        assert size % 2 ** (len(levels(size)) - 1) == 0


def test_the_steps_fit_the_minutes_and_are_never_more_than_a_hundred_passes():
    assert steps_for(10, 0.5, num_images=100_000, batch_size=64) == 1200
    assert steps_for(1_000, 0.5, num_images=6_400, batch_size=64) == 10_000
    assert steps_for(0.1, 5, num_images=6_400, batch_size=64) == 50


def test_a_path_of_any_characters_is_read_again_as_it_was(tmp_path, project, quick):
    photos = write_photos(tmp_path / "фото 📷 'a' \"b\": #c", num_normal=20)
    assert typed("add-images", str(photos), "--name=photos").exit_code == 0
    parameters = open_loader(project / "conf", "photos", {}).final_parameters()
    assert parameters.data.root == str(photos)


def test_size_channels_and_noise_are_those_of_a_model_to_start_from(
    photos, project, quick, finished_run
):
    model = finished_run / "data/06_models/test/pu/beta_0.1-seed_0/model"
    given = [str(photos), "--name=photos", f"--pretrained={model}"]
    assert "makes images of 16, got 32" in refusal("add-images", *given, "--size=32")
    result = typed("add-images", *given)
    assert result.exit_code == 0, result.output
    parameters = open_loader(project / "conf", "photos", {}).final_parameters()
    assert parameters.pretrained == str(model)
    assert (parameters.data.image_size, parameters.data.channels) == (16, 1)
    assert parameters.noise.num_train_timesteps == 50
    assert parameters.objective.error_space == parameters.noise.prediction_type


def test_a_model_to_start_from_that_is_none_is_refused(photos, project, quick, tmp_path):
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled/model.pt").write_bytes(b"anything")
    given = [str(photos), "--name=photos", f"--pretrained={tmp_path / 'pickled'}"]
    assert "it has no model_index.json" in refusal("add-images", *given)
    assert not (project / "conf/photos").exists()


def test_a_name_of_digits_is_a_name(photos, project, quick):
    assert typed("add-images", str(photos), "--name=2024_06").exit_code == 0
    parameters = open_loader(project / "conf", "2024_06", {}).final_parameters()
    assert parameters.benchmark == "2024_06"


@pytest.mark.parametrize("name", ["w${x}", "two\nlines"])
def test_a_path_that_the_file_could_not_hold_is_refused(name, tmp_path, project, quick):
    photos = write_photos(tmp_path / name, num_normal=20)
    assert "PATH: expected a folder whose name" in refusal("add-images", str(photos), "--name=a")
    assert not (project / "conf/a").exists()


def test_sensitive_images_of_the_test_folder_do_not_count_as_normal_ones(tmp_path, project, quick):
    photos = write_photos(tmp_path / "photos", num_normal=60)
    moved = sorted((photos / "unlabeled").iterdir())[:30]
    (photos / "test").mkdir()
    lines = ["path,sensitive"]
    for number, path in enumerate(moved):
        path.rename(photos / "test" / path.name)
        lines.append(f"test/{path.name},{int(number >= 10)}")
    (photos / "labels.csv").write_text("\n".join(lines))
    assert typed("add-images", str(photos), "--name=photos").exit_code == 0
    parameters = open_loader(project / "conf", "photos", {}).final_parameters()
    assert parameters.evaluation.kid_subset_size == 5  # of 10 normal images, not of 30
