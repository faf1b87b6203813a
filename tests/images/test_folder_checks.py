"""Which folders of images are refused, and what is said of those that are not."""

import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest

from image_folders import write_folder, write_image
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.folder_checks import CheckedFolder, check_folder
from pu_diffusion_pipeline.images.image_store import ImageStore


@pytest.fixture
def root(tmp_path) -> Path:
    return write_folder(tmp_path / "photos", unlabeled=6, sensitive=3, normal=2, test=4)


def index_of(root: Path) -> pd.DataFrame:
    return ImageStore(root.parent / "store").update(root, 16, 1).index


def check(root: Path, **options) -> CheckedFolder:
    return check_folder(root, index_of(root), **options)


def break_files(root: Path, role: str, count: int) -> None:
    for number in range(count):
        (root / role / f"broken{number}.jpg").write_bytes(b"no image")


def made_up(unlabeled: int, sensitive: int, broken: int = 0) -> pd.DataFrame:
    """An index of different images, the first of which cannot be read."""
    roles = ["unlabeled"] * unlabeled + ["sensitive"] * sensitive
    problems = ["truncated"] * broken + [None] * (len(roles) - broken)
    names = [f"{role}/{number:05d}.png" for number, role in enumerate(roles)]
    table = {"path": names, "role": roles, "sha256": names, "problem": problems}
    return pd.DataFrame(table, dtype="string").assign(position=range(len(roles)))


def test_a_sound_folder_passes_with_its_counts(root, caplog):
    with caplog.at_level(logging.WARNING):
        checked = check(root)
    pd.testing.assert_frame_equal(checked.index, index_of(root))
    assert checked.facts == {
        "images": {"unlabeled": 6, "sensitive": 3, "normal": 2, "test": 4},
        "num_unreadable": 0,
        "num_dropped": 0,
        "copies_within": {},
    }
    assert not [message for message in caplog.messages if "enlarged" not in message]


# --- files that cannot be read --------------------------------------------------------------------


def test_a_handful_of_unreadable_files_is_let_pass_and_left_out(root, caplog):
    break_files(root, "unlabeled", 3)
    with caplog.at_level(logging.WARNING):
        checked = check(root)
    assert len(checked.index) == 15
    assert checked.facts["num_unreadable"] == 3
    assert any(
        "cannot be read (3): unlabeled/broken0.jpg (no image" in message
        for message in caplog.messages
    )


def test_more_are_refused_and_the_first_are_listed_with_their_reasons(root):
    break_files(root, "unlabeled", 7)
    with pytest.raises(InvalidInput) as refusal:
        check(root)
    message = str(refusal.value)
    assert message.startswith(f"data.root {root}: 7 of 22 files cannot be read, allowed are 3: ")
    assert message.count("(no image that is JPEG, PNG, WebP, TIFF, BMP or GIF)") == 5
    assert "and 2 more. Repair or remove them, or raise data.folder.most_unreadable" in message
    assert message.endswith("now 0.01.")
    assert check(root, most_unreadable=0.5).facts["num_unreadable"] == 7


@pytest.mark.parametrize(
    ("count", "broken", "share", "passes"),
    [
        (10_000, 100, 0.01, True),
        (10_000, 101, 0.01, False),
        (100, 29, 0.29, True),
        (100, 30, 0.29, False),
        (100, 3, 0.01, True),
        (100, 4, 0.01, False),
        (10_000, 0, 0.0, True),
        (10_000, 1, 0.0, False),
    ],
)
def test_the_share_of_unreadable_files_decides(count, broken, share, passes):
    index = made_up(count - 10, 10, broken)
    if passes:
        assert check_folder("photos", index, share).facts["num_unreadable"] == broken
    else:
        with pytest.raises(InvalidInput, match=f"{broken} of {count} files cannot be read"):
            check_folder("photos", index, share)


def test_a_name_with_a_line_break_stays_on_the_message_s_line(root):
    for number in range(4):
        (root / "unlabeled" / f"a\nb{number}.jpg").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"'unlabeled/a\\nb0\.jpg'") as refusal:
        check(root)
    assert "\n" not in str(refusal.value)


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unlabeled", "sensitive", "match"),
    [
        (1, 1, "at least two images are needed in unlabeled, found 1 in unlabeled, 1 in sens"),
        (5, 1, "at least two images are needed in sensitive, found 5 in unlabeled, 1 in sens"),
        (2, 3, "at least as many unlabeled images as sensitive ones, found 2 in unlabeled, 3 in"),
    ],
)
def test_too_few_images_are_refused(tmp_path, unlabeled, sensitive, match):
    root = write_folder(tmp_path / "photos", unlabeled=unlabeled, sensitive=sensitive)
    with pytest.raises(InvalidInput, match=match):
        check(root)


def test_what_cannot_be_read_does_not_count(root):
    for path in list((root / "sensitive").rglob("*.*"))[:2]:
        path.write_bytes(b"")
    with pytest.raises(InvalidInput, match="two images are needed in sensitive"):
        check(root)


def test_as_many_sensitive_images_as_unlabeled_ones_are_enough():
    assert len(check_folder("photos", made_up(3, 3)).index) == 6


# --- copies ---------------------------------------------------------------------------------------


def copy(root: Path, one: str, other: str) -> None:
    shutil.copy(root / one, root / other)


ACROSS = [
    ("sensitive/0000", "unlabeled/copy", "unlabeled/copy"),
    ("unlabeled/0001", "sensitive/copy", "unlabeled/0001"),
    ("sensitive/0000", "test/copy", "test/copy"),
    ("test/0000", "unlabeled/copy", "test/0000"),
    ("normal/0000", "unlabeled/copy", "unlabeled/copy"),
    ("test/0000", "normal/copy", "test/0000"),
]


@pytest.mark.parametrize(("one", "other", "dropped"), ACROSS)
def test_the_same_bytes_in_two_roles_are_refused_or_dropped(root, caplog, one, other, dropped):
    (one,) = (str(path.relative_to(root)) for path in root.glob(f"{one}.*"))
    copy(root, one, other)
    whole = index_of(root)
    with pytest.raises(InvalidInput) as refusal:
        check_folder(root, whole)
    message = str(refusal.value)
    assert "files with the same bytes in two folders (1): " in message
    assert one in message
    assert other in message
    checked = check_folder(root, whole, duplicates="drop")
    gone = whole[~whole["path"].isin(checked.index["path"])]
    assert [path.split(".")[0] for path in gone["path"]] == [dropped]
    assert checked.facts["num_dropped"] == 1
    assert len(checked.index) == 15
    assert any("copies in other folders, dropped: 1" in text for text in caplog.messages)


def test_an_image_in_three_roles_stays_in_sensitive_alone(root):
    write_image(root / "sensitive/a.png", 50)
    for name in ("unlabeled/a.png", "unlabeled/b.png", "test/a.png"):
        copy(root, "sensitive/a.png", name)
    checked = check(root, duplicates="drop")
    assert checked.facts["num_dropped"] == 3
    assert "sensitive/a.png" in set(checked.index["path"])
    assert checked.facts["images"] == {"unlabeled": 6, "sensitive": 4, "normal": 2, "test": 4}


@pytest.mark.parametrize("duplicates", ["refuse", "drop"])
def test_the_same_image_as_sensitive_and_as_normal_is_always_refused(root, duplicates):
    write_image(root / "sensitive/a.png", 50)
    copy(root, "sensitive/a.png", "normal/a.png")
    with pytest.raises(InvalidInput, match=r"normal/a\.png = sensitive/a\.png. Decide for each"):
        check(root, duplicates=duplicates)


def test_many_copies_are_not_all_listed(root):
    for number in range(8):
        write_image(root / "sensitive" / f"c{number}.png", 60 + number)
        copy(root, f"sensitive/c{number}.png", f"unlabeled/c{number}.png")
    with pytest.raises(InvalidInput, match=r"two folders \(8\)") as refusal:
        check(root)
    assert str(refusal.value).count(" = ") == 5
    assert "and 3 more" in str(refusal.value)


def test_too_few_images_left_after_the_drop_are_refused(tmp_path):
    root = write_folder(tmp_path / "photos", unlabeled=3, sensitive=2)
    write_image(root / "sensitive/a.png", 50)
    copy(root, "sensitive/a.png", "unlabeled/a.png")
    next((root / "unlabeled").glob("0000.*")).unlink()
    with pytest.raises(InvalidInput, match="found 2 in unlabeled, 3 in sensitive"):
        check(root, duplicates="drop")


def test_copies_within_a_role_are_kept_and_reported(root, caplog):
    write_image(root / "unlabeled/a.png", 50)
    copy(root, "unlabeled/a.png", "unlabeled/b.png")
    copy(root, "unlabeled/a.png", "unlabeled/c.png")
    checked = check(root)
    assert len(checked.index) == 18
    assert checked.facts["copies_within"] == {"unlabeled": 2}
    assert any(
        "copies of others within unlabeled, kept: 2" in message for message in caplog.messages
    )
