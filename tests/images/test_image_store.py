"""The store of a user's folder: each image is decoded once, and what is on disk is always sound."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import REPO
from image_folders import digit, encoded, write_folder, write_image
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images import folder_reading, image_store
from pu_diffusion_pipeline.images.decoding import decode
from pu_diffusion_pipeline.images.image_store import FolderImages, ImageStore

SIZE = 32


@pytest.fixture
def root(tmp_path) -> Path:
    return write_folder(tmp_path / "photos", unlabeled=14, sensitive=6)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The digests of the files that are decoded."""
    seen = []

    def count(file, *args):
        seen.append(hashlib.sha256(file.read()).hexdigest())
        file.seek(0)
        return decode(file, *args)

    monkeypatch.setattr(folder_reading, "decode", count)
    return seen


def is_at(file, path: Path) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


def update(folder: Path, root: Path, size: int = SIZE, channels: int = 3, **limits) -> FolderImages:
    return ImageStore(folder).update(root, size, channels, **limits)


def check_same(one: FolderImages, other: FolderImages) -> None:
    pd.testing.assert_frame_equal(one.index, other.index)
    np.testing.assert_array_equal(one.images, other.images)
    assert one.num_enlarged == other.num_enlarged


def names(folder: Path) -> list[str]:
    """What is in a store, without the token in an array's name."""
    return sorted("images" if path.suffix == ".npy" else path.name for path in folder.iterdir())


SOUND = [".store.lock", "files.parquet", "images"]


# --- what is in it --------------------------------------------------------------------------------


def test_each_row_is_the_image_of_its_file(root, folder):
    (root / "unlabeled/sub/broken.jpg").write_bytes(b"no image")
    index, images, num_enlarged = update(folder, root)
    assert images.shape == (20, 3, SIZE, SIZE)
    assert images.dtype == np.uint8
    assert isinstance(images, np.memmap)
    shorter = []
    for row in index[index["problem"].isna()].itertuples():
        content = (root / row.path).read_bytes()
        image = decode(open(root / row.path, "rb"), SIZE, 3, 10_000)  # noqa: PTH123, SIM115
        np.testing.assert_array_equal(images[row.position], image.pixels)
        assert row.sha256 == hashlib.sha256(content).hexdigest()
        assert row[5:10] == image[:5]
        shorter.append(min(image.width, image.height))
    assert num_enlarged == sum(side < SIZE for side in shorter) > 0
    assert index["mode"].nunique() >= 5
    assert index["format"].nunique() >= 5


def test_the_index_is_sorted_and_numbers_what_can_be_read(root, folder):
    (root / "unlabeled/0002").write_bytes(b"no image")
    os.mkfifo(root / "sensitive/pipe")
    index = update(folder, root).index
    assert index["path"].is_monotonic_increasing
    assert index["position"].dropna().tolist() == list(range(20))
    broken = index[index["problem"].notna()].set_index("path")
    assert broken["position"].isna().all()
    assert broken["problem"].to_dict() == {
        "sensitive/pipe": "a named pipe",
        "unlabeled/0002": "no image that is JPEG, PNG, WebP, TIFF, BMP or GIF",
    }
    assert index.groupby("role").size().to_dict() == {"sensitive": 7, "unlabeled": 15}


def test_hashes_of_64_bits_are_exact_beside_files_without_one(root, folder, tmp_path):
    rising = np.tile(np.arange(90, dtype=np.uint8), (80, 1))
    rising[0] = 0
    (root / "unlabeled/rising.png").write_bytes(encoded(Image.fromarray(rising), "PNG"))
    (root / "unlabeled/broken.png").write_bytes(b"")
    for _ in range(2):
        index = update(folder, root).index.set_index("path")
        assert index["difference_hash"].dtype == "UInt64"
        value = index.loc["unlabeled/rising.png", "difference_hash"]
        assert value > 2**63
        assert value % 2**32 == 2**32 - 1
    index.reset_index().to_parquet(tmp_path / "index.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "index.parquet"), index.reset_index())


def test_images_below_the_model_s_size_are_counted_in_a_warning(root, folder, caplog):
    with caplog.at_level(logging.WARNING):
        assert update(folder, root, 16).num_enlarged == 0
        assert caplog.messages == []
        assert update(folder, root, 200).num_enlarged == 20
    assert caplog.messages == ["20 of 20 images are enlarged to 200 pixels"]


def test_names_of_any_bytes_are_read_and_come_back(root, folder):
    odd = [b"new\nline.png", b"latin1 \xfc.png", b"\\xfc.png", b"x" * 251 + b".png", b"\xff" * 255]
    for number, name in enumerate(odd):
        write_image(root / "unlabeled" / os.fsdecode(name), 100 + number)
    first = update(folder, root)
    assert first.index["problem"].isna().all()
    assert len(first.images) == 25
    check_same(update(folder, root), first)


def test_nothing_is_written_into_the_user_s_folder(root, folder):
    def state() -> list[tuple[str, int]]:
        return [(str(path), path.lstat().st_mtime_ns) for path in sorted(root.rglob("*"))]

    before = state()
    update(folder, root)
    assert state() == before


# --- it is kept up to date ------------------------------------------------------------------------


def test_the_same_folder_again_opens_no_file_and_writes_nothing(root, folder, decoded, monkeypatch):
    (root / "unlabeled/broken.jpg").write_bytes(b"no image")
    first = update(folder, root)
    assert len(decoded) == 21
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}

    def refuse(location):
        raise AssertionError(f"opened {location}")

    monkeypatch.setattr(folder_reading, "open_regular", refuse)
    check_same(update(folder, root), first)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_of_ten_images_added_ten_are_decoded(root, folder, decoded):
    update(folder, root)
    decoded.clear()
    write_folder(root / "unlabeled/new", first=50, more=10)
    images = update(folder, root).images
    assert len(images) == 30
    added = [path for path in (root / "unlabeled/new").rglob("*") if path.is_file()]
    assert sorted(decoded) == sorted(
        hashlib.sha256(path.read_bytes()).hexdigest() for path in added
    )


def renamed(root: Path) -> None:
    (root / "unlabeled/0000.png").rename(root / "unlabeled/zzz.png")
    (root / "unlabeled/sub").rename(root / "unlabeled/another")


def touched(root: Path) -> None:
    for path in (root / "sensitive").iterdir():
        if path.is_file():
            os.utime(path, (1, 1))


def removed(root: Path) -> None:
    (root / "sensitive/0000.png").unlink(missing_ok=True)
    (root / "unlabeled/0013.gif").unlink(missing_ok=True)
    (root / "unlabeled/0000.png").unlink()


def copied(root: Path) -> None:
    shutil.copy(root / "unlabeled/0001.JPG", root / "unlabeled/0000copy.JPG")
    shutil.copy(root / "unlabeled/0001.JPG", root / "sensitive/copy")


def linked(root: Path) -> None:
    (root / "unlabeled/link.png").symlink_to("0000.png")
    os.link(root / "unlabeled/0001.JPG", root / "unlabeled/hard.JPG")


def replaced(root: Path) -> None:
    write_image(root / "unlabeled/0000.png", 300)
    write_image(root / "unlabeled/0001.JPG", 301, mode="RGB")


def broken(root: Path) -> None:
    path = root / "unlabeled/0000.png"
    path.write_bytes(path.read_bytes()[:60])


CHANGES = {
    renamed: 0,
    touched: 0,
    removed: 0,
    copied: 0,
    linked: 0,
    replaced: 2,
    broken: 1,
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_after_a_change_the_store_is_as_if_made_anew(root, folder, tmp_path, decoded, change):
    update(folder, root)
    decoded.clear()
    change(root)
    updated = update(folder, root)
    assert len(decoded) == CHANGES[change]
    check_same(updated, update(tmp_path / "another", root))
    decoded.clear()
    check_same(update(folder, root), updated)
    assert decoded == []
    assert names(folder) == SOUND


@pytest.mark.parametrize(
    "given",
    [{"size": 16}, {"channels": 1}, {"most_pixels": 10_000}],
    ids=lambda given: next(iter(given)),
)
def test_what_was_made_in_another_way_is_made_anew(root, folder, tmp_path, decoded, given):
    update(folder, root)
    decoded.clear()
    updated = update(folder, root, **given)
    assert len(decoded) == 20
    check_same(updated, update(tmp_path / "another", root, **given))
    assert names(folder) == SOUND


@pytest.mark.parametrize("what", ["RULE", "pillow"])
def test_images_of_another_rule_or_another_pillow_are_decoded_again(
    root, folder, decoded, monkeypatch, what
):
    import PIL

    update(folder, root)
    decoded.clear()
    if what == "RULE":
        monkeypatch.setattr(image_store, "RULE", image_store.RULE + 1)
    else:
        monkeypatch.setattr(PIL, "__version__", "0.1")
    update(folder, root)
    assert len(decoded) == 20


def shorter_array(folder: Path) -> None:
    (path,) = folder.glob("images-*.npy")
    os.truncate(path, path.stat().st_size - 1)


def no_array(folder: Path) -> None:
    (path,) = folder.glob("images-*.npy")
    path.unlink()


def array_of_objects(folder: Path) -> None:
    (path,) = folder.glob("images-*.npy")
    with path.open("wb") as file:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)


def array_of_fewer(folder: Path) -> None:
    (path,) = folder.glob("images-*.npy")
    images = np.load(path)
    np.save(path, images[:-1])


def garbage_table(folder: Path) -> None:
    (folder / "files.parquet").write_bytes(b"PAR1 garbage PAR1")


def foreign_table(folder: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(folder / "files.parquet")


DAMAGES = (
    *(shorter_array, no_array, array_of_objects, array_of_fewer, garbage_table, foreign_table),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_store_is_made_anew_and_a_warning_says_so(root, folder, damage, caplog, decoded):
    first = update(folder, root)
    first = first._replace(images=first.images.copy())
    del caplog.records[:]
    damage(folder)
    decoded.clear()
    check_same(update(folder, root), first)
    assert len(decoded) == 20
    assert any(f"{folder} is damaged and made anew" in message for message in caplog.messages)
    assert names(folder) == SOUND


# --- files that change meanwhile, or cannot be read -----------------------------------------------


@pytest.fixture
def meanwhile(monkeypatch):
    """A function whose argument is called once the folder has been listed."""

    def set_up(change) -> None:
        def list_folder(root):
            entries = listing(root)
            change()
            return entries

        listing = image_store.list_folder
        monkeypatch.setattr(image_store, "list_folder", list_folder)

    return set_up


def gone(path: Path) -> None:
    path.unlink()


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def another_file(path: Path) -> None:
    path.unlink()
    write_image(path, 999)


MEANWHILE = {
    gone: "No such file or directory",
    grown: "changed while the folder was read",
    a_pipe: "no ordinary file",
    a_link: "Too many levels of symbolic links",
    another_file: "changed while the folder was read",
}


@pytest.mark.parametrize("change", MEANWHILE, ids=lambda change: change.__name__)
def test_a_file_that_changes_after_the_listing_is_a_problem(root, folder, meanwhile, change):
    meanwhile(lambda: change(root / "unlabeled/0000.png"))
    index, images, _ = update(folder, root)
    assert len(images) == 19
    assert index.set_index("path")["problem"].dropna().to_dict() == {
        "unlabeled/0000.png": MEANWHILE[change]
    }


def test_a_file_that_grows_while_it_is_decoded_is_a_problem_and_is_read_next_time(
    root, folder, monkeypatch
):
    def grow(file, *args):
        if is_at(file, root / "unlabeled/0000.png"):
            grown(root / "unlabeled/0000.png")
        return decode(file, *args)

    monkeypatch.setattr(folder_reading, "decode", grow)
    index = update(folder, root).index.set_index("path")
    assert index["problem"].dropna().to_dict() == {
        "unlabeled/0000.png": "changed while the folder was read"
    }
    monkeypatch.undo()
    assert update(folder, root).index["problem"].isna().all()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError()])
def test_what_the_system_refuses_once_is_tried_again(root, folder, monkeypatch, error):
    def fail(file, *args):
        if is_at(file, root / "unlabeled/0001.JPG"):
            raise error
        return decode(file, *args)

    monkeypatch.setattr(folder_reading, "decode", fail)
    problems = update(folder, root).index.set_index("path")["problem"].dropna().to_dict()
    assert list(problems) == ["unlabeled/0001.JPG"]
    assert problems.popitem()[1] in ("Permission denied", "too little memory to decode it")
    monkeypatch.undo()
    assert update(folder, root).index["problem"].isna().all()


def test_a_file_with_more_bytes_than_the_limit_of_pixels_can_have_is_not_opened(root, folder):
    with (root / "unlabeled/video.png").open("wb") as file:
        file.truncate(10_000 * 8 + 1)
    index = update(folder, root, most_pixels=10_000).index.set_index("path")
    assert index["problem"].dropna().to_dict() == {
        "unlabeled/video.png": "80001 bytes, too many for 10000 pixels"
    }


def test_thirty_broken_of_many_are_listed_and_the_rest_is_read(tmp_path, folder):
    root = write_folder(tmp_path / "photos", unlabeled=400, sensitive=20)
    for place in range(0, 300, 10):
        (root / "unlabeled" / f"broken{place}.jpg").write_bytes(encoded(digit(place), "JPEG")[:150])
    index, images, _ = update(folder, root)
    assert len(images) == 420
    assert index["problem"].notna().sum() == 30
    assert index["path"][index["problem"].notna()].str.contains("broken").all()


def test_what_pillow_warns_of_stops_nothing_and_is_not_shown(root, folder):
    block = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40
    (root / "unlabeled/odd.jpg").write_bytes(encoded(digit(1), "JPEG", exif=block))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert update(folder, root).index["problem"].isna().all()


# --- kills, failures, two at once, memory ---------------------------------------------------------

CHILD = """
import os, signal, sys
from pathlib import Path
from pu_diffusion_pipeline.images import folder_reading, image_store, store_table

root, folder, moment = sys.argv[1:]


def is_at(file, path):
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def decode(file, *args, decode=folder_reading.decode):
    if is_at(file, Path(root, "unlabeled/1002.tiff")):
        die()
    return decode(file, *args)


def fsync(descriptor, fsync=os.fsync):
    fsync(descriptor)
    die()


def replace(*args, replace=os.replace):
    if moment == "after the table":
        replace(*args)
    die()


if moment == "while decoding":
    folder_reading.decode = decode
elif moment == "after the array":
    os.fsync = fsync
elif moment:
    os.replace = replace
update = image_store.ImageStore(folder).update(root, 32, 3)
print(len(update.images))
"""


def run_child(*arguments: object, code: str = CHILD) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPO / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


MOMENTS = ("while decoding", "after the array", "before the table", "after the table")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_leaves_a_store_that_the_next_run_puts_right(
    root, folder, tmp_path, moment, decoded, caplog
):
    update(folder, root)
    write_folder(root / "unlabeled", first=60, zz=5)
    write_image(root / "unlabeled/1002.tiff", 70)
    process = run_child(root, folder, moment)
    process.communicate()
    assert process.returncode == -9
    decoded.clear()
    updated = update(folder, root)
    assert len(decoded) == (0 if moment == "after the table" else 6)
    assert not any("damaged" in message for message in caplog.messages)
    check_same(updated, update(tmp_path / "another", root))
    assert names(folder) == SOUND


def test_of_two_processes_at_once_one_decodes_and_both_get_the_same(root, folder, tmp_path):
    processes = [run_child(root, folder, "") for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert [out for out, _ in outputs] == ["20\n", "20\n"]
    check_same(update(folder, root), update(tmp_path / "another", root))
    assert names(folder) == SOUND


def test_a_second_process_waits_for_the_first(root, folder, caplog):
    update(folder, root)
    with caplog.at_level(logging.INFO), image_store._alone(folder):
        process = run_child(root, folder, "")
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=2)
    assert process.communicate()[0] == "20\n"


def test_a_failed_update_leaves_the_old_store_and_nothing_else(root, folder, monkeypatch, decoded):
    first = update(folder, root)
    write_image(root / "normal/1.png", 80)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        update(folder, root)
    assert names(folder) == SOUND
    shutil.rmtree(root / "normal")
    decoded.clear()
    check_same(update(folder, root), first)
    assert decoded == []


def test_an_array_in_use_stays_as_it_was_when_the_store_changes(root, folder):
    images = update(folder, root).images
    before = images.copy()
    write_image(root / "normal/1.png", 80)
    update(folder, root)
    np.testing.assert_array_equal(images, before)


def test_a_file_system_without_locks_is_told(root, folder, monkeypatch):
    def flock(file, kind):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(image_store.fcntl, "flock", flock)
    with pytest.raises(InvalidInput, match=r"cannot be locked \(No locks available\)"):
        update(folder, root)


PEAK = """
import sys
from pathlib import Path
from pu_diffusion_pipeline.images.image_store import ImageStore


def peak():  # of this program alone: getrusage counts the process that it was forked from
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


folder, few, many = sys.argv[1:]
ImageStore(folder).update(few, 192, 3)
before = peak()
update = ImageStore(folder).update(many, 192, 3)
print(peak() - before, update.images.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_number_of_images(root, folder, tmp_path):
    many = write_folder(tmp_path / "many", unlabeled=550, sensitive=50)
    output, errors = run_child(folder, root, many, code=PEAK).communicate()
    grown_by, size = map(float, output.split()) if output else pytest.fail(errors)
    assert size > 60
    assert grown_by < size / 3
