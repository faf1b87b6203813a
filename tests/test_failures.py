"""Any failure becomes one short message; what nobody foresaw is called a bug, with its details."""

import errno
import importlib
import os
from pathlib import Path

import click
import pytest
import yaml
from kedro.framework.cli.utils import KedroCliError
from kedro.io import AbstractDataset, DatasetError
from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.failures import DETAILS, MOST_LINES, USAGE_LINES, one_short_message


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(error: BaseException) -> str:
    with pytest.raises(click.ClickException) as shown, one_short_message():
        raise error
    return shown.value.message


def wrapped(cause: BaseException, times: int = 2) -> DatasetError:
    """As Kedro wraps what a data set raises."""
    error = cause
    for _ in range(times):
        outer = DatasetError(f"pu.model: Failed while saving data to dataset.\n{error}")
        outer.__cause__ = error
        error = outer
    return error


def test_a_users_mistake_is_told_as_it_is_however_often_it_was_wrapped():
    for error in (InvalidInput("beta is wrong"), wrapped(InvalidInput("beta is wrong"))):
        assert told(error) == "beta is wrong"
    assert not DETAILS.exists(), "nothing is written for a mistake"


def test_a_full_disk_names_the_data_set_and_the_reason():
    message = told(wrapped(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")))
    assert "pu.model" in message
    assert "/data/x: No space left on device" in message
    assert len(message.splitlines()) <= 3
    assert "Traceback" in DETAILS.read_text()


def test_a_full_disk_that_safetensors_tells_of_is_no_damaged_file_and_no_bug():
    full = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error in (full, wrapped(full)):
        message = told(error)
        assert "No space left on device" in message
        assert "damaged" not in message
        assert "bug" not in message


def test_a_damaged_file_is_named_with_the_way_out():
    message = told(wrapped(ValueError("Expecting value: line 1")))
    assert message.startswith("pu.model: Failed while saving")
    assert "Expecting value" in message
    assert "make it anew" in message


def test_a_configuration_that_cannot_be_read_is_called_so():
    with pytest.raises(yaml.YAMLError) as broken:
        yaml.safe_load("a:\n\t- b")
    assert told(broken.value).startswith("The configuration cannot be read: ")


def test_a_wrong_name_of_a_node_is_no_bug():
    pipeline = Pipeline([Node(lambda: 1, None, "a", name="make_a")])
    with pytest.raises(ValueError, match="make_b") as wrong:
        pipeline.filter(node_names=["make_b"])
    message = told(wrong.value)
    assert "make_b" in message
    assert "bug" not in message
    assert not DETAILS.exists(), "nothing is written for a mistake"


def test_a_catalog_entry_that_makes_no_data_set_is_no_damaged_file():
    with pytest.raises(DatasetError) as wrong:
        AbstractDataset.from_config("judge", {"type": "no.such.Dataset"})
    message = told(wrong.value)
    assert message.startswith("The catalog cannot be used: ")
    assert "'judge'" in message
    assert message.endswith("Correct this entry in conf/.")
    assert not DETAILS.exists()


def test_kedros_own_refusals_are_told_without_their_type():
    assert told(KedroCliError("expected a version")) == "expected a version"


def test_a_long_message_keeps_its_beginning_and_its_way_out():
    lines = [f"line {number}" for number in range(20)]
    assert told(InvalidInput("\n".join(lines))).splitlines() == [
        *lines[:4], "  ... 15 more lines ...", "line 19"
    ]  # fmt: skip
    assert len(told(InvalidInput("x" * 5000))) < 1000
    folders = [f"/project/data/{number}" for number in range(200)]
    cut = told(InvalidInput(f"delete: rm -r {' '.join(folders)}"))
    assert len(cut) < 1000
    paths = {word for word in cut.split() if "/" in word and "..." not in word}
    assert paths < set(folders)  # half of one is marked
    with pytest.raises(click.UsageError) as shown, one_short_message():
        raise click.UsageError("\n".join(lines))
    assert len(shown.value.message.splitlines()) == MOST_LINES - USAGE_LINES


def test_details_hold_any_character():
    told(RuntimeError("\udcc3"))
    assert "udcc3" in DETAILS.read_text()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import nowhere", "No module named 'nowhere'"),
        ("from json import nothing", "cannot import name 'nothing' from 'json'"),
        ("def (", "invalid syntax"),
    ],
)
def test_code_that_cannot_be_imported_is_named_with_its_line(line, reason, tmp_path, monkeypatch):
    """A module that a user has added, or a library that is not there."""
    (tmp_path / "added.py").write_text(f"\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises((ImportError, SyntaxError)) as broken:
        importlib.import_module("added")
    message = told(broken.value)
    assert message.startswith(f"{tmp_path / 'added.py'}, line 2: {reason}")
    assert "bug" not in message
    assert "Traceback" in DETAILS.read_text()


def test_what_nobody_foresaw_is_called_a_bug_with_its_details_in_a_file():
    message = told(RuntimeError("surprise"))
    assert message.startswith("RuntimeError: surprise")
    assert f"report it with its details: {DETAILS}" in message
    assert "surprise" in DETAILS.read_text()


def test_a_disk_that_takes_no_details_does_not_hide_what_went_wrong():
    DETAILS.mkdir()
    message = told(wrapped(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")))
    assert "/data/x: No space left on device" in message
    assert "could be written (Is a directory)" in message


def test_details_of_two_runs_that_fail_at_once_are_both_kept():
    DETAILS.write_text("of another run, which began before this one failed")
    message = told(RuntimeError("surprise"))
    own = Path(f"error-{os.getpid()}.log")
    assert f"report it with its details: {own}" in message
    assert "surprise" in own.read_text()
    assert "another" in DETAILS.read_text()


def test_details_of_an_earlier_run_make_room_for_those_of_this_one():
    DETAILS.write_text("of a run that ended long ago")
    os.utime(DETAILS, (0, 0))
    assert f"report it with its details: {DETAILS}" in told(RuntimeError("surprise"))
    assert "surprise" in DETAILS.read_text()


@pytest.mark.parametrize("error", [click.Abort(), click.UsageError("no"), KeyboardInterrupt()])
def test_what_click_handles_itself_is_left_to_it(error):
    with pytest.raises(type(error)), one_short_message():
        raise error
    assert not DETAILS.exists()
