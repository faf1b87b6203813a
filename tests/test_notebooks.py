"""The notebooks run on a finished run and are committed without outputs."""

import shutil

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import REPO

NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_on_a_finished_run(path, finished_run, tmp_path, monkeypatch):
    for name in ("pyproject.toml", "conf"):
        (tmp_path / name).symlink_to(REPO / name)
    (tmp_path / "src").mkdir()  # the package itself is installed
    shutil.copytree(finished_run / "data", tmp_path / "data")
    monkeypatch.setenv("KEDRO_ENV", "test")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5
