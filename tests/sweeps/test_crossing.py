"""Nothing crosses from one task to another but through a file."""

import pytest

from conftest import REPO
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.sweeps.arguments import make_request
from pu_diffusion_pipeline.sweeps.crossing import refuse_unshared
from pu_diffusion_pipeline.sweeps.plan import make_plan


@pytest.fixture
def tasks(tmp_path):
    (tmp_path / "conf").symlink_to(REPO / "conf")
    given = {"benchmarks": "test", "methods": "all", "seeds": "0,1"}
    return make_plan(make_request(given, tmp_path / "conf"), tmp_path).tasks


def test_every_method_hands_on_files_only(tasks):
    refuse_unshared(tasks)


@pytest.mark.parametrize("path", [None, "s3://bucket/data/index.csv"])
def test_a_data_set_that_is_no_file_is_named(tasks, path):
    for task in tasks:
        for entry in task.steps[0].run.configured._catalog.values():
            entry["filepath"] = path
    with pytest.raises(InvalidInput, match="expected a filepath in a file system"):
        refuse_unshared(tasks)


def test_an_address_is_no_root_of_data(tmp_path):
    (tmp_path / "conf").symlink_to(REPO / "conf")
    given = {"benchmarks": "test", "params": {"data": {"root": "s3://bucket/raw"}}}
    with pytest.raises(InvalidInput, match=r"data.root.*must be a folder; mount a bucket"):
        make_plan(make_request(given, tmp_path / "conf"), tmp_path)
