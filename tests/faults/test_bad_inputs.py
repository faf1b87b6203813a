"""Every bad input of the table gets one short message, and nothing is written."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.cli.cli import KedroCLI
from kedro.runner import AbstractRunner

from conftest import REPO
from faults.bad_inputs import ROWS, Row, write
from pu_diffusion_pipeline import pipeline_registry
from pu_diffusion_pipeline.failures import MOST_COLUMNS, MOST_LINES


@pytest.fixture(scope="module")
def kedro():
    """The command line; no run begins. The pipelines, which no input changes, are made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DO_NOT_TRACK", "1")
        once = cache(pipeline_registry.register_pipelines)
        patch.setattr(pipeline_registry, "register_pipelines", once)
        patch.setattr(AbstractRunner, "run", lambda *_, **__: pytest.fail("it was not refused"))
        yield KedroCLI(REPO)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of what a command reads, as the current folder."""
    shutil.copytree(REPO / "conf", tmp_path / "conf")
    (tmp_path / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(REPO / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(project: Path) -> dict[Path, int]:
    """Every path below the project and when it was last changed."""
    return {path: path.lstat().st_mtime_ns for path in project.rglob("*")}


def typed(kedro: KedroCLI, row: Row) -> Result:
    return CliRunner().invoke(kedro, row.command, prog_name="kedro")


def assert_one_short_message(shown: str) -> None:
    lines = shown.strip().splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= MOST_COLUMNS + 100  # what click puts before it
    assert sum(line.startswith(("Error:", "Aborted!")) for line in lines) == 1
    assert "Traceback" not in shown
    assert "This is a bug" not in shown


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bad_input_gets_one_short_message_and_nothing_is_written(row, project, kedro):
    row.prepare(project)
    before = files(project)
    result = typed(kedro, row)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code != 0
    assert_one_short_message(result.stderr)
    assert "Traceback" not in result.stdout
    for word in row.words:
        assert word in " ".join(result.stderr.split())
    assert files(project) == before


def test_the_table_names_no_row_twice_and_is_long():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) >= 60


def test_a_byte_order_mark_and_an_empty_file_are_read(project, kedro):
    """Windows' editors write the mark: the message is about what stands behind it."""
    write("conf/local/parameters.yml", "\ufeffbeta: 3\n")(project)
    write("conf/local/parameters_b.yml", "")(project)
    result = typed(kedro, Row("", ["run"], []))
    assert "beta: must be a number in [0, 1)" in result.stderr


def test_a_terminal_without_utf_8_shows_the_message_all_the_same(project):
    write("conf/local/parameters.yml", "bêta: ß\n")(project)
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(REPO / "src"),
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "pu_diffusion_pipeline", "--params=seed:1"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    shown = done.stderr.decode()  # click writes UTF-8
    assert done.returncode == 1
    assert_one_short_message(shown)
    assert "did you mean beta?" in shown
