"""The line of progress: what matters in it is never cut."""

import io
import logging
import re

import pytest
from rich.console import Console

from pu_diffusion_pipeline.progress import progress

STATUS = "303 images/s, loss 145.7 unlabeled_negative 156.4 sensitive_negative 111.3"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_long_status_leaves_name_count_and_time_whole(width, monkeypatch, caplog):
    caplog.set_level("INFO", "pu_diffusion_pipeline")
    console = Console(force_terminal=True, width=width, file=io.StringIO(), color_system=None)
    monkeypatch.setattr("rich.get_console", lambda: console)
    with progress("train supervised", 850) as reporter:
        reporter.update(425, STATUS)
    last = console.file.getvalue().split("\r")[-1]
    assert re.search(r"train supervised ━+ +425/850 [-0]:\S\S:\S\S 3", last)
    assert (STATUS in last) == (width == 200)


def test_nothing_is_shown_where_only_warnings_are_wanted(monkeypatch):
    console = Console(force_terminal=True, width=80, file=io.StringIO())
    monkeypatch.setattr("rich.get_console", lambda: console)
    monkeypatch.setattr(logging.getLogger("pu_diffusion_pipeline"), "level", logging.WARNING)
    logging.getLogger("pu_diffusion_pipeline.progress").manager._clear_cache()
    with progress("train pu", 40) as reporter:
        reporter.update(40)
    assert console.file.getvalue() == ""


def test_elsewhere_there_are_ten_lines(caplog):
    with caplog.at_level("INFO"), progress("train pu", 40) as reporter:
        for done in range(1, 41):
            reporter.update(done, "fast")
    assert len(caplog.messages) == 10
    assert caplog.messages[-1] == "train pu: 40/40 fast"
