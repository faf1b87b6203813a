"""Runs at the same time, identical or overlapping: none dies, nothing is mixed."""

import os

import pytest

from faults.contents import contents, differences
from faults.injection import run, start

ROUNDS = int(os.environ.get("PU_FAULT_ROUNDS", "1"))
FIRST = (
    "--nodes=data_engineering.index_source,data_engineering.split_source,"
    "data_engineering.read_evaluation_images,initialize_denoiser"
)


@pytest.mark.slow
def test_two_identical_runs_of_the_first_nodes(empty, tmp_path):
    both = [start(empty, FIRST), start(empty, FIRST)]
    assert [one.end().code for one in both] == [0, 0]
    found = contents(empty)
    assert run(empty, FIRST).code == 0
    assert differences(found, contents(empty)) == []


def test_the_second_run_leaves_where_it_is_told_to(empty):
    runs = [start(empty, FIRST, "--params=folder_locks:leave") for _ in range(2)]
    ended = sorted(one.end() for one in runs)
    assert ended[0].code == 0
    if ended[1].code != 0:  # else the first had ended before
        assert "Another run works in" in ended[1].output
        assert "Traceback" not in ended[1].output


@pytest.mark.slow
@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_identical_runs(finished, empty, number):
    both = [start(empty), start(empty)]
    ended = [one.end() for one in both]
    assert [one.code for one in ended] == [0, 0], ended
    assert differences(contents(finished), contents(empty)) == []


def is_of_report(path: str) -> bool:
    """The page, and the claim that holds its digest."""
    return path.startswith("08_reporting/") and path.endswith(("report.html", ".claim.json"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_runs_that_share_all_but_the_seed(finished, empty, number):
    """They share the judge and its data, and each other's rows are in the tables.

    A report shows the means over the runs that had ended before it.
    """
    both = [start(empty), start(empty, "--params=seed:1")]
    ended = [one.end() for one in both]
    assert [one.code for one in ended] == [0, 0], ended
    assert run(empty, "--pipeline=summarize").code == 0
    expected = contents(finished)
    found = contents(empty)
    shared = [path for path in expected if "/runs/" not in path and not is_of_report(path)]
    assert [path for path in shared if expected[path] != found.get(path)] == []
    assert "seed_1" in str(found.keys())
