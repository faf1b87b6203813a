"""Folders in which nodes work, and the records of all runs."""

import json
from pathlib import Path

import pytest

from pu_diffusion_pipeline.datasets.work_folders import RunRecordsDataset, WorkFolderDataset
from pu_diffusion_pipeline.errors import InvalidInput


def test_a_work_folder_is_given_to_the_node_and_exists_once_something_made_it(tmp_path):
    dataset = WorkFolderDataset(filepath=str(tmp_path / "work"))
    assert dataset.load() == tmp_path / "work"
    assert not dataset.exists()
    (tmp_path / "work").mkdir()
    assert dataset.exists()


def test_a_work_folder_comes_as_the_class_that_the_node_wants():
    dataset = WorkFolderDataset(filepath="x", type_="pathlib.PurePosixPath")
    assert str(dataset.load()) == "x"
    assert not isinstance(dataset.load(), Path)


def test_a_work_folder_is_not_saved_by_the_pipeline(tmp_path):
    with pytest.raises(Exception, match="not saved by the pipeline"):
        WorkFolderDataset(filepath=str(tmp_path)).save("anything")


def metrics_below(folder) -> RunRecordsDataset:
    return RunRecordsDataset(filepath=str(folder), artifact="metrics", stage="metrics")


def test_records_of_all_runs_are_read_by_method_and_run(tmp_path):
    for run in ("pu/seed_0", "pu/seed_1", "supervised/seed_0"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "metrics.json").write_text(json.dumps({"run": run}))
    (tmp_path / "pu/seed_2").mkdir()
    records = metrics_below(tmp_path).load()
    assert records == {run: {"run": run} for run in ("pu/seed_0", "pu/seed_1", "supervised/seed_0")}


def test_a_damaged_record_is_refused_by_name(tmp_path):
    (tmp_path / "pu/seed_0").mkdir(parents=True)
    (tmp_path / "pu/seed_0/metrics.json").write_text("{")
    with pytest.raises((InvalidInput, Exception), match=r"metrics\.json is damaged.*evaluate"):
        metrics_below(tmp_path).load()
