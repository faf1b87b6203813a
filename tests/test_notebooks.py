"""Notebooks run on the files of a finished run, and are committed without outputs."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import REPO

NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
NUM_PICTURES = 5  # U, S and the samples of three methods
TIMEOUT = 120  # seconds for a cell

for_each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@for_each_notebook
def test_a_notebook_is_committed_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@for_each_notebook
def test_no_line_of_a_notebook_is_above_100_columns(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert [line for line in cell.source.splitlines() if len(line) > 100] == []


def test_the_tour_runs_on_a_finished_run(finished_run, tmp_path, monkeypatch):
    for name in ("pyproject.toml", "conf"):
        (tmp_path / name).symlink_to(REPO / name)
    (tmp_path / "src").mkdir()  # Kedro looks for it; the package itself is installed
    shutil.copytree(finished_run / "data", tmp_path / "data")
    monkeypatch.setenv("KEDRO_ENV", "test")
    assert num_pictures(REPO / "notebooks/01_tour.ipynb", tmp_path) == NUM_PICTURES


def test_the_toy_mixture_runs_and_moves(tmp_path):
    """With less training and fewer frames than a reader gets."""
    less = {"num_steps=1000": "num_steps=20", "[40::3]": "[40::20]"}
    assert num_pictures(REPO / "notebooks/02_pu_risk.ipynb", tmp_path, less) == 2


def num_pictures(path: Path, folder: Path, less: Mapping[str, str] | None = None) -> int:
    """How many pictures a notebook shows that runs in a folder.

    Args:
        path: of the notebook.
        folder: where it runs.
        less: text that is in one of its cells, once, to what takes its place.
    """
    notebook = nbformat.read(path, as_version=4)
    for there, new in (less or {}).items():
        (cell,) = (one for one in notebook.cells if there in one.source)
        cell.source = cell.source.replace(there, new)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=TIMEOUT, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)
