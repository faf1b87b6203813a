"""A finished project of the tiny benchmark, which the tests of faults start from."""

import shutil
from pathlib import Path

import pytest

from faults.injection import make_project, run


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A project in which `kedro run --env=test` has run."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    ended = run(project)
    assert ended.code == 0, ended.output
    return project


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(finished, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def empty(tmp_path) -> Path:
    """A project in which nothing has run."""
    return make_project(tmp_path / "empty")
