"""A user's folder of digits without labels, added to a project in which it has run."""

from pathlib import Path

import pytest
from kedro.framework.project import settings
from omegaconf import OmegaConf

from exports.conftest import make_project, typed
from image_folders import write_image

EACH = 500  # digits of each class in `image_folders.digits`, in order
NORMAL, HIDDEN = 100, 10  # in unlabeled/
# Instead of the settings for a real run.
TINY = OmegaConf.create(
    """
    compute: {device: cpu, precision: fp32}
    data: {image_size: 16}
    class_prior: {folds: 2, repeats: 1, num_components: 8, num_epochs: 2}
    sensitivity: {folds: 2, repeats: 2, num_components: 8, num_resamples: 20}
    denoiser: {block_out_channels: [8, 16]}
    noise: {num_train_timesteps: 50}
    training: {batch_size: 12, num_steps: 6, warmup_steps: 2, log_every: 1, checkpoint_every: 2}
    sampling: {num_images: 24, num_steps: 3, batch_size: 10}
    judge: {image_size: 16, num_epochs: 2, batch_size: 50}
    evaluation: {kid_subsets: 4, kid_subset_size: 4}
    """
)


def write_photos(root: Path, num_normal: int = NORMAL, num_sensitive: int = 24) -> Path:
    """Even digits in unlabeled/, with a few odd ones, and other odd ones in sensitive/."""
    endings = ("png", "webp", "tiff")
    for role, name, first, last, odd in (
        ("unlabeled", "even", 0, num_normal, 0),
        ("unlabeled", "odd", 0, HIDDEN, 1),
        ("sensitive", "odd", HIDDEN, HIDDEN + num_sensitive, 1),
    ):
        for place in range(first, last):
            number = (place % 5 * 2 + odd) * EACH + place // 5
            path = root / role / f"{name}{place:04d}.{endings[place % 3]}"
            write_image(path, number, (28 + place % 5, 28), "L")
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """The folder; only to be read."""
    return write_photos(tmp_path_factory.mktemp("photos") / "my photos")


@pytest.fixture(scope="session")
def added(photos, tmp_path_factory) -> tuple[Path, str]:
    """A project to which `kedro add-images` has added them, and what the command said."""
    project = make_project(tmp_path_factory.mktemp("own") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        result = typed("add-images", str(photos), "--name=photos", "--minutes=0.5")
    assert result.exit_code == 0, result.output
    return project, result.output


@pytest.fixture(scope="session")
def blind_run(added) -> Path:
    """The project after `kedro run --env=photos`, with a tiny model."""
    project, _ = added
    path = project / "conf/photos/parameters.yml"
    OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), TINY), path)
    run_photos(project)
    return project


def run_photos(project: Path, *pipelines: str, **params: object) -> None:
    """`kedro run --env=photos`."""
    with settings.SESSION_CLASS.create(
        project_path=project,
        conf_source=str(project / "conf"),
        env="photos",
        runtime_params=params,
        save_on_close=False,
    ) as opened:
        opened.run(pipeline_names=list(pipelines) or ["__default__"])
