"""A project in which the tiny benchmark has run, and the model that was exported from it."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import REPO
from pu_diffusion_pipeline.cli import cli

MODEL = Path("data/06_models/test/pu/beta_0.1-seed_0")
OUTPUT = Path("data/07_model_output/test/pu/beta_0.1-seed_0")


def make_project(folder: Path) -> Path:
    """A folder with the configuration in which nothing has run."""
    shutil.copytree(REPO / "conf", folder / "conf")
    (folder / "src").mkdir()
    shutil.copy(REPO / "pyproject.toml", folder)
    return folder


def typed(*arguments: str) -> Result:
    """What a command of the project answers."""
    return CliRunner().invoke(cli, arguments, prog_name="kedro")


def refusal(*arguments: str) -> str:
    """The one short message of a command that must fail, on one line."""
    result = typed(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert "This is a bug" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 6
    assert result.stderr.count("Error:") == 1
    return " ".join(result.stderr.split())


@pytest.fixture(scope="session")
def finished_project(finished_run, tmp_path_factory) -> Path:
    """Only to be read."""
    project = make_project(tmp_path_factory.mktemp("exports") / "project")
    (project / "data").symlink_to(finished_run / "data")
    return project


@pytest.fixture(scope="session")
def exported(finished_project, tmp_path_factory) -> Path:
    """What `kedro export` has written; only to be read."""
    out = tmp_path_factory.mktemp("exported") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished_project)
        result = typed("export", str(out), "--env=test", "--license=apache-2.0")
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def in_project(finished_project, monkeypatch) -> Path:
    """The finished project as the current folder."""
    monkeypatch.chdir(finished_project)
    return finished_project


@pytest.fixture
def in_copy(finished_run, tmp_path, monkeypatch) -> Path:
    """A copy of it as the current folder, to be changed."""
    project = make_project(tmp_path / "project")
    shutil.copytree(finished_run / "data", project / "data")
    monkeypatch.chdir(project)
    return project
