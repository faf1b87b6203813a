"""Reading a user's folder with Ray: the store is the one that threads make."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import REPO
from image_folders import write_folder, write_image
from pu_diffusion_pipeline import ray_connection
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.images import image_store, ray_reading
from pu_diffusion_pipeline.images.image_store import ImageStore
from pu_diffusion_pipeline.images.ray_reading import FILES_PER_TASK, Witness, read_with_ray

SIZE = 16


@pytest.fixture
def root(tmp_path) -> Path:
    """More files than one task reads; some are broken, copies, links or have odd names."""
    root = write_folder(tmp_path / "photos", unlabeled=FILES_PER_TASK + 30, sensitive=6)
    (root / "unlabeled/0001.broken").write_bytes(b"no image")
    os.mkfifo(root / "sensitive/pipe")
    shutil.copy(root / "unlabeled/0000.png", root / "sensitive/copy.png")
    (root / "unlabeled/link.png").symlink_to("0000.png")
    write_image(root / "unlabeled" / os.fsdecode(b"latin1 \xfc.png"), 200)
    return root


def update(folder: Path, root: Path, engine: str) -> image_store.FolderImages:
    return ImageStore(folder).update(root, SIZE, 3, engine=engine)


def content(folder: Path) -> tuple[bytes, pd.DataFrame]:
    """The bytes of a store's array, and its table with the stamps of the files."""
    (array,) = folder.glob("images-*.npy")
    return array.read_bytes(), pd.read_parquet(folder / "files.parquet")


def check_same_store(one: Path, other: Path) -> None:
    (pixels, table), (other_pixels, other_table) = content(one), content(other)
    assert pixels == other_pixels
    pd.testing.assert_frame_equal(table, other_table)


def change(root: Path) -> None:
    """Add, break, replace, remove, rename and touch files."""
    write_folder(root / "unlabeled/new", first=300, more=5)
    (root / "unlabeled/0003.tiff").write_bytes(b"no image any more")
    write_image(root / "unlabeled/0000.png", 400)
    (root / "unlabeled/0001.JPG").unlink()
    (root / "unlabeled/sub").rename(root / "unlabeled/another")
    for path in (root / "sensitive").glob("*.*"):
        os.utime(path, (1, 1))


# --- with Ray -------------------------------------------------------------------------------------


def test_ray_makes_the_store_that_threads_make_also_after_a_change(ray, root, tmp_path):
    for step in (lambda root: None, change):
        step(root)
        for engine in ("threads", "ray"):
            update(tmp_path / engine, root, engine)
        check_same_store(tmp_path / "threads", tmp_path / "ray")
    assert content(tmp_path / "ray")[1]["problem"].notna().sum() == 3


def test_another_engine_finds_nothing_to_do(ray, root, tmp_path, monkeypatch):
    folder = tmp_path / "store"
    update(folder, root, "ray")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(ray_reading, "connected", lambda field: pytest.fail("nothing is to read"))
    update(folder, root, "ray")
    update(folder, root, "threads")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_images_that_the_store_has_are_not_decoded_again(ray, root, tmp_path):
    update(tmp_path / "store", root, "ray")
    (array,) = (tmp_path / "store").glob("images-*.npy")
    for path in (root / "unlabeled").glob("*.JPG"):
        os.utime(path, (1, 1))
    update(tmp_path / "store", root, "ray")
    assert array.exists()  # no row was new


def test_the_store_is_the_same_if_a_worker_is_killed(ray, root, tmp_path, monkeypatch):
    mark = tmp_path / "killed"

    def with_deadly(entries, read):
        def kill_once(entry):
            if entry.path.startswith("unlabeled/0021") and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return read(entry)

        return read_with_ray(entries, kill_once)

    monkeypatch.setitem(image_store.READERS, "ray", with_deadly)
    update(tmp_path / "ray", root, "ray")
    assert mark.exists()
    update(tmp_path / "threads", root, "threads")
    check_same_store(tmp_path / "threads", tmp_path / "ray")


def test_a_relative_folder_is_read_too(ray, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    update(tmp_path / "ray", Path("photos"), "ray")
    update(tmp_path / "threads", root, "threads")
    check_same_store(tmp_path / "threads", tmp_path / "ray")


UNFIT = {
    "no folder": ({"folder": "/no/such/folder"}, r"node \S+ cannot see /no/such/folder \(No such"),
    "another": ({"inode": 1}, r"on the node \S+, \S+/photos/sensitive is another folder than here"),
    "Pillow": (
        {"decoder": "Pillow 1.0"},
        r"node \S+ has Pillow \S+, rule 1, here it is Pillow 1",
    ),
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_node_that_does_not_fit_is_named_and_nothing_is_changed(
    ray, root, tmp_path, monkeypatch, unfit
):
    difference, message = UNFIT[unfit]
    found = ray_reading._witness

    def other(entry) -> Witness:
        return found(entry)._replace(**difference)

    monkeypatch.setattr(ray_reading, "_witness", other)
    with pytest.raises(InvalidInput, match=message):
        update(tmp_path / "store", root, "ray")
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".store.lock"]


def test_what_ray_raises_is_one_message():
    exceptions = pytest.importorskip("ray", reason="needs the extra ray").exceptions
    with (
        pytest.raises(ProcessFailed, match="could not read the images: The worker died"),
        ray_reading._failures_in_short(),
    ):
        raise exceptions.WorkerCrashedError


CHILD = """
import signal, sys
from pu_diffusion_pipeline.images.image_store import ImageStore
root, folder, engine = sys.argv[1:]
before = signal.getsignal(signal.SIGTERM)
ImageStore(folder).update(root, 16, 3, engine=engine)
assert signal.getsignal(signal.SIGTERM) is before
print("ray" in sys.modules)
"""


def start_child(*arguments: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src"), "RAY_ADDRESS": "local"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_local_ray_says_nothing_and_leaves_no_handler(root, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    assert start_child(root, tmp_path / "ray", "ray").communicate() == ("True\n", "")
    update(tmp_path / "threads", root, "threads")
    check_same_store(tmp_path / "threads", tmp_path / "ray")


# --- without Ray ----------------------------------------------------------------------------------


def test_ray_is_not_imported_by_threads(root, tmp_path):
    assert start_child(root, tmp_path / "store", "threads").communicate() == ("False\n", "")


def test_without_ray_one_message_names_the_extra_before_any_work(root, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_connection, "find_spec", lambda name: None)
    monkeypatch.setattr(image_store, "list_folder", lambda root: pytest.fail("work had begun"))
    with pytest.raises(InvalidInput, match=r"needs Ray: pip install .*\[ray\]"):
        update(tmp_path / "store", root, "ray")
    assert not (tmp_path / "store").exists()
