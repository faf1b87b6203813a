"""Laws of work in processes: whatever happens to one, there is one message and none is left."""

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import closing
from functools import partial

import psutil
import pytest
import torch

from pu_diffusion_pipeline.diffusion import processes
from pu_diffusion_pipeline.diffusion.processes import in_processes, threads_of_each
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from work_in_parts import (
    PARTS,
    count,
    die_at_once,
    hang_or_be_killed,
    hang_or_fail,
    numbers_forever,
)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_part_is_done_in_a_process_of_its_own_with_its_share_of_the_threads(two_threads):
    assert [threads_of_each(count) for count in (1, 2, 3)] == [2, 1, 1]
    found = list(in_processes(count, PARTS, "cpu"))
    assert sorted(number for number, *_ in found) == [0, 1, 2, 3, 4]
    of_part = [{process for number, process, *_ in found if number in part} for part in PARTS]
    assert [len(processes) for processes in of_part] == [1, 1]
    assert len({os.getpid()}.union(*of_part)) == 3
    assert {(num_threads, blocked) for _, _, num_threads, blocked in found} == {(1, True)}
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (hang_or_be_killed, ProcessFailed, r"Process 1 of 2 was killed \(signal 9\); the others"),
        (hang_or_fail, InvalidInput, "part 1 cannot be done"),
    ],
)
def test_one_process_that_fails_stops_all_with_one_message(work, error, message, capfd):
    with pytest.raises(error, match=message) as told:
        list(in_processes(work, PARTS, "cpu"))
    assert multiprocessing.active_children() == []
    assert capfd.readouterr().err == ""
    if error is InvalidInput:
        assert "hang_or_fail" in str(told.value.__cause__), "the traceback of the process"


@pytest.mark.parametrize("num_bytes", [1, 10_000_000])
def test_a_process_that_dies_while_it_starts_is_told_whatever_it_would_have_been_sent(
    num_bytes, monkeypatch
):
    monkeypatch.setattr(processes, "_run", die_at_once)
    work = partial(count, bytes(num_bytes))
    with pytest.raises(ProcessFailed, match=r"Process . of 2 ended with code 3"):
        list(in_processes(work, PARTS, "cpu"))
    assert multiprocessing.active_children() == []


def test_who_stops_listening_stops_the_processes():
    with closing(in_processes(numbers_forever, PARTS, "cpu")) as found:
        process = psutil.Process(next(found))
    assert not process.is_running()
    assert multiprocessing.active_children() == []


SCRIPT = """
from work_in_parts import PARTS, numbers_forever
from pu_diffusion_pipeline.diffusion import processes
from pu_diffusion_pipeline.diffusion.processes import in_processes
if __name__ == "__main__":
    for number in in_processes(numbers_forever, PARTS, "cpu"):
        print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("with_what", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path, with_what):
    (tmp_path / "script.py").write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "script.py")]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as parent:
        seen: set[int] = set()
        while len(seen) < len(PARTS):
            seen.add(int(parent.stdout.readline()))
        started = [psutil.Process(number) for number in seen]
        parent.send_signal(with_what)
    _, left = psutil.wait_procs(started, timeout=10)
    assert left == []
