"""The table of a sweep on a terminal; elsewhere there are only lines."""

import io

import pytest
import rich
from rich.console import Console

from pu_diffusion_pipeline.sweeps.execution import Row
from pu_diffusion_pipeline.sweeps.live_table import MOST_ROWS, as_table
from sweeps.fakes import make_project, run_sweep, task


def text(rows: list[Row], width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(as_table(rows))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_those_that_run_come_first_and_the_rest_is_counted():
    rows = [
        *(Row(f"waits-{number}", "waiting", None) for number in range(30)),
        Row("ended", "done", 75.0),
        Row("bad", "failed", 3.0),
        Row("works", "running", 3725.0),
    ]
    blank, head, first, second, *others, total = text(rows)
    assert (blank, head.split()) == ("", ["task", "state", "time"])
    assert first.split(maxsplit=2) == ["works", "running", "1 h 2 min 5 s"]
    assert second.split(maxsplit=2) == ["bad", "failed", "3 s"]
    assert [line.split() for line in others] == [
        [f"waits-{number}", "waiting"] for number in range(MOST_ROWS - 2)
    ]
    assert total == "1 of 33 done, 1 running, 1 failed, 30 waiting"


def test_a_narrow_window_cuts_names_only():
    line = text([Row("digits_even/pu-beta_0.1-seed_3", "running", 59.0)], 40)[2]
    assert line.split()[1:] == ["running", "59", "s"]
    assert "…" in line


@pytest.fixture
def screen(monkeypatch):
    """A function that gives what a sweep of two tasks says, and what it prints itself."""

    def watch(folder, is_terminal: bool) -> tuple[list[str], str]:
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=80)
        monkeypatch.setattr(rich, "get_console", lambda: console)
        project = make_project(folder, monkeypatch)
        return run_sweep(project, [task(project, "one"), task(project, "two")]), (
            console.file.getvalue()
        )

    return watch


def test_a_terminal_shows_lines_above_the_table(screen, tmp_path):
    said, printed = screen(tmp_path / "project", True)
    assert not any("started" in line for line in said)
    assert printed.count("started: one") == printed.count("started: two") == 1
    assert "0 of 2 done" in printed


def test_elsewhere_there_are_lines_only(screen, tmp_path):
    said, printed = screen(tmp_path / "project", False)
    assert [line for line in said if "started" in line] == ["started: one", "started: two"]
    assert printed == ""
