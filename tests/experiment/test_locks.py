"""One process writes in a folder at a time, and nobody reads meanwhile."""

import errno
import fcntl
import shutil
import subprocess
import sys
import threading

import pytest

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.locks import NAME, hold


def is_free(folder, *, is_shared: bool) -> bool:
    try:
        with hold(folder, "leave", is_shared=is_shared):
            return True
    except InvalidInput:
        return False


def test_a_writer_keeps_everybody_out_until_it_has_ended(tmp_path):
    with hold(tmp_path, "leave", is_shared=False):
        assert not is_free(tmp_path, is_shared=False)
        assert not is_free(tmp_path, is_shared=True)
    assert is_free(tmp_path, is_shared=False)


def test_readers_keep_writers_out_and_no_readers(tmp_path):
    with hold(tmp_path, "leave", is_shared=True):
        assert is_free(tmp_path, is_shared=True)
        assert not is_free(tmp_path, is_shared=False)
    assert is_free(tmp_path, is_shared=False)


def test_who_waits_goes_on_when_the_other_has_ended(tmp_path):
    order = []

    def wait():
        with hold(tmp_path, "wait", is_shared=False):
            order.append("second")

    with hold(tmp_path, "wait", is_shared=False):
        other = threading.Thread(target=wait)
        other.start()
        other.join(0.3)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_a_killed_process_holds_nothing(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pu_diffusion_pipeline.experiment.locks import hold\n"
        "held = hold(Path(sys.argv[1]), 'wait', is_shared=False); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InvalidInput, match=f"process {process.pid} on"):
            hold(tmp_path, "leave", is_shared=False)
        process.kill()
        process.wait()
        assert is_free(tmp_path, is_shared=False)


def test_a_folder_that_was_deleted_meanwhile_is_locked_anew(tmp_path):
    folder = tmp_path / "run"
    held = []
    with hold(folder, "wait", is_shared=False):
        other = threading.Thread(target=lambda: held.append(hold(folder, "wait", is_shared=False)))
        other.start()
        other.join(0.3)
        shutil.rmtree(folder)
    other.join(10)
    assert not is_free(folder, is_shared=False), "the new folder's lock, not the deleted one's"
    held[0].close()


def test_a_reader_makes_no_folder(tmp_path):
    with hold(tmp_path / "none", "wait", is_shared=True):
        pass
    assert not (tmp_path / "none").exists()


def test_a_file_system_without_locks_is_named_with_the_way_out(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InvalidInput, match=r"No locks available.*folder_locks:off"):
        hold(tmp_path, "wait", is_shared=False)
    with hold(tmp_path, "off", is_shared=False):
        pass


def test_a_lock_leaves_one_small_file(tmp_path):
    with hold(tmp_path, "wait", is_shared=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).stat().st_size < 200
