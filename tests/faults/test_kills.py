"""Whenever a run is killed or cannot write, the same command ends as if nothing had happened."""

import errno
import os
import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.contents import contents, differences, without_older_states
from faults.injection import Ended, Fault, make_project, may_mount, run, small_disk

KILLED = -9
QUICK = (
    "prior_estimation.use_given_beta,data_engineering.index_source,data_engineering.split_source,"
    "data_engineering.read_training_images,data_engineering.read_evaluation_images"
)
CODES = [errno.ENOSPC, errno.EIO]


def check_ended_well(project: Path, expected: dict[str, str], *arguments: str) -> None:
    ended = run(project, *arguments)
    assert ended.code == 0, ended.output
    assert differences(expected, contents(project)) == []


def check_failure(ended: Ended, project: Path, expected: dict[str, str]) -> None:
    """A failure of the disk is one short message that no one takes for a bug, or harmless."""
    if ended.code == 0:
        assert differences(expected, contents(project)) == []
        return
    assert ended.code == 1, ended.output
    assert "Traceback" not in ended.output
    assert "This is a bug" not in ended.output
    message = ended.output[ended.output.index("Error: ") :].strip()
    assert len(message.splitlines()) <= 6, message


class Quick(NamedTuple):
    """A project in which only the first nodes have run, and how they ended."""

    project: Path
    ended: Ended


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> Quick:
    project = make_project(tmp_path_factory.mktemp("quick") / "project")
    ended = run(project, f"--nodes={QUICK}")
    assert ended.code == 0, ended.output
    return Quick(project, ended)


@pytest.mark.parametrize("over_finished", [pytest.param(False, marks=pytest.mark.slow), True])
def test_kills_of_the_first_nodes_leave_nothing_behind(quick, tmp_path, over_finished):
    expected = contents(quick.project)
    project = tmp_path / "project"
    shutil.copytree(quick.project, project) if over_finished else make_project(project)
    for at in random.Random(0).sample(range(quick.ended.operations), 4):
        assert run(project, f"--nodes={QUICK}", fault=Fault("kill", at)).code == KILLED
    check_ended_well(project, expected, f"--nodes={QUICK}")


@pytest.mark.parametrize("code", [errno.ENOSPC, pytest.param(errno.EIO, marks=pytest.mark.slow)])
def test_failed_writes_of_the_first_nodes_leave_nothing_behind(quick, empty, code):
    expected = contents(quick.project)
    for at in random.Random(1).sample(range(quick.ended.writes), 2):
        ended = run(empty, f"--nodes={QUICK}", fault=Fault("fail", at, code))
        check_failure(ended, empty, expected)
    check_ended_well(empty, expected, f"--nodes={QUICK}")


def kill_and_finish(project: Path, expected: dict[str, str], seed: int, kills: int) -> None:
    """Kill a run at random operations, again and again, then let it end."""
    draw = random.Random(seed)
    for _ in range(kills):
        ended = run(project, fault=Fault("kill", draw.randrange(2000)))
        assert ended.code in (KILLED, 0), ended.output
    check_ended_well(project, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("PU_FAULT_ROUNDS", "1"))))
def test_kills_anywhere_from_empty(finished, empty, seed):
    kill_and_finish(empty, contents(finished), seed, kills=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("PU_FAULT_ROUNDS", "1"))))
def test_kills_anywhere_over_finished_data(finished, project, seed):
    kill_and_finish(project, contents(finished), 1000 + seed, kills=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("PU_FAULT_ROUNDS", "1"))))
def test_failed_writes_anywhere(finished, empty, seed):
    expected = contents(finished)
    draw = random.Random(seed)
    for _ in range(10):
        at = draw.randrange(1200)
        check_failure(run(empty, fault=Fault("fail", at, draw.choice(CODES))), empty, expected)
    check_ended_well(empty, expected)


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount a file system")
@pytest.mark.parametrize("kilobytes", [0, 40, 200, 500, 900, 1300, 1700, 2100])
def test_a_disk_that_gets_full_and_is_made_larger(finished, empty, kilobytes):
    """Real ENOSPC, also inside what compiled libraries write."""
    with small_disk(empty / "data", 40_000):
        shutil.copytree(finished / "data", empty / "data", dirs_exist_ok=True)
        used = sum(path.stat().st_blocks * 512 for path in (empty / "data").rglob("*")) // 1024
    with small_disk(empty / "data", max(4, used * kilobytes // 2100)) as resize:
        ended = run(empty)
        if ended.code != 0:
            check_failure(ended, empty, contents(finished))
        resize(40_000)
        ended = run(empty)
        assert ended.code == 0, ended.output
        both = (without_older_states(contents(one)) for one in (finished, empty))
        assert differences(*both) == []
