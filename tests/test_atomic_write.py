import os
import subprocess
import sys
from pathlib import Path

import pytest

import pu_diffusion_pipeline
from pu_diffusion_pipeline.atomic_write import atomic_write, sweep

SOURCE = str(Path(pu_diffusion_pipeline.__file__).parents[1])


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_and_raise(final, error: BaseException, content) -> None:
    """Write half of something to the temporary path, then fail."""
    with atomic_write(final) as temporary:
        content(temporary)
        raise error


def write(folder, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_file_takes_its_place_when_the_block_ends(tmp_path):
    final = tmp_path / "table.csv"
    with atomic_write(final) as temporary:
        temporary.write_text("new")
        assert not final.exists()
        assert temporary.parent == final.parent, "a rename is atomic within one file system only"
    assert final.read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


def test_an_older_file_is_replaced(tmp_path):
    final = tmp_path / "table.csv"
    final.write_text("old")
    with atomic_write(str(final)) as temporary:
        temporary.write_text("new")
        assert final.read_text() == "old"
    assert final.read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


def test_folders_above_are_made(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "table.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "table.csv").read_text() == "new"


def test_a_folder_takes_its_place_with_all_its_files(tmp_path):
    final = tmp_path / "model"
    with atomic_write(final) as temporary:
        write(temporary, weights="new", config="new")
        assert not final.exists()
    assert names(final) == ["config", "weights"]
    assert names(tmp_path) == ["model"]


def test_no_file_of_an_older_folder_is_left_in_the_new_one(tmp_path):
    final = tmp_path / "model"
    write(final, weights="old", extra="old")
    with atomic_write(final) as temporary:
        write(temporary, weights="new")
        assert names(final) == ["extra", "weights"]
    assert names(final) == ["weights"]
    assert (final / "weights").read_text() == "new"
    assert names(tmp_path) == ["model"]


def test_a_block_that_raises_leaves_an_older_file_and_no_litter(tmp_path):
    final = tmp_path / "table.csv"
    final.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_and_raise(final, KeyboardInterrupt(), lambda temporary: temporary.write_text("half"))
    assert final.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_block_that_raises_leaves_an_older_folder_and_no_litter(tmp_path):
    final = tmp_path / "model"
    write(final, weights="old")
    with pytest.raises(OSError, match="disk full"):
        write_and_raise(
            final, OSError("disk full"), lambda temporary: write(temporary, weights="half")
        )
    assert (final / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_block_that_raises_makes_nothing(tmp_path):
    with pytest.raises(ValueError, match="no"):
        write_and_raise(
            tmp_path / "table.csv", ValueError("no"), lambda temporary: temporary.write_text("half")
        )
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_writes_nothing_is_an_error_and_leaves_what_was_there(tmp_path, kind):
    final = tmp_path / "thing"
    if kind == "file":
        final.write_text("old")
    else:
        write(final, weights="old")
    with pytest.raises(FileNotFoundError), atomic_write(final):
        pass
    assert names(tmp_path) == ["thing"]


def test_two_writers_do_not_share_a_temporary_path(tmp_path):
    final = tmp_path / "table.csv"
    with atomic_write(final) as one, atomic_write(final) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert final.read_text() == "one"  # the outer block ends last
    assert names(tmp_path) == ["table.csv"]


# --- killed processes -----------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from pu_diffusion_pipeline import atomic_write

final, renames = Path(sys.argv[1]), int(sys.argv[2])
whole = Path.rename

def rename(self, target):
    global renames
    if renames == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    renames -= 1
    return whole(self, target)

Path.rename = rename
with atomic_write.atomic_write(final) as temporary:
    temporary.mkdir()
    (temporary / "weights").write_text("new")
"""


def kill_before_rename(final: Path, number: int) -> None:
    """Replace a folder in a process that is killed before the rename of that number."""
    command = [sys.executable, "-c", KILLED, str(final), str(number)]
    process = subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCE})
    assert process.returncode == -9


@pytest.mark.parametrize("number", [0, 1])
def test_a_folder_is_whole_again_after_a_kill_between_the_renames(tmp_path, number):
    final = tmp_path / "model"
    write(final, weights="old")
    kill_before_rename(final, number)
    assert final.exists() == (number == 0)
    sweep(tmp_path)
    assert names(tmp_path) == ["model"]
    assert (final / "weights").read_text() == "old"


def test_what_a_killed_process_left_goes_if_the_new_one_is_there(tmp_path):
    final = tmp_path / "model"
    write(final, weights="old")
    kill_before_rename(final, 1)
    write(final, weights="newer")
    sweep(tmp_path)
    assert names(tmp_path) == ["model"]
    assert (final / "weights").read_text() == "newer"


def test_what_belongs_to_a_process_that_lives_stays(tmp_path):
    with atomic_write(tmp_path / "table.csv") as temporary:
        temporary.write_text("new")
        sweep(tmp_path)
        assert temporary.read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


def test_what_belongs_to_another_machine_stays(tmp_path):
    other = tmp_path / ".tmp-another_machine-1-01234567-table.csv"
    other.write_text("half")
    sweep(tmp_path)
    assert other.exists()


def test_a_folder_that_is_not_there_needs_no_sweeping(tmp_path):
    sweep(tmp_path / "nowhere")
