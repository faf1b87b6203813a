"""labels.csv: what is read of it, and what is refused with the number of its line."""

import os
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from image_folders import write_folder, write_image
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.folder_labels import read_labels
from pu_diffusion_pipeline.images.folder_listing import list_folder

ODD = b'unlabeled/comma, \xfc \\ "quoted"\nline.png'


@pytest.fixture
def root(tmp_path) -> Path:
    root = write_folder(tmp_path / "photos", unlabeled=2, sensitive=1)
    write_image(root / "test/a.png", 10)
    write_image(root / "normal/n.png", 12)
    write_image(root / os.fsdecode(ODD), 11)
    return root


def read(root: Path, text: str | bytes) -> pd.DataFrame:
    (root / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return labels(root)


def labels(root: Path) -> pd.DataFrame:
    entries = [(entry.path, entry.role) for entry in list_folder(root)]
    return read_labels(root, pd.DataFrame(entries, columns=["path", "role"]))


def test_labels_are_a_table_of_path_sensitive_and_class(root):
    table = read(
        root,
        "path,sensitive,class\nunlabeled/0000.png,0,cat\ntest/a.png,TRUE,\n"
        "unlabeled/0001.JPG, False ,dog\nsensitive/0000.webp,1,dog\nnormal/n.png,false,cat\n",
    )
    assert table["path"].tolist() == [
        *("unlabeled/0000.png", "test/a.png", "unlabeled/0001.JPG", "sensitive/0000.webp"),
        "normal/n.png",
    ]
    assert table["sensitive"].tolist() == [False, True, False, True, False]
    assert table["sensitive"].dtype == bool
    assert table["class"].fillna("none").tolist() == ["cat", "none", "dog", "dog", "cat"]


def test_the_order_of_columns_empty_lines_a_mark_and_line_ends_do_not_matter(root):
    plain = read(root, "path,sensitive\ntest/a.png,1\nunlabeled/0000.png,0\n")
    other = read(
        root, "\ufeffsensitive, path\r\n1,test/a.png\r\n\r\n0,./unlabeled//0000.png\r\n\r\n"
    )
    pd.testing.assert_frame_equal(plain, other)
    assert plain["class"].isna().all()


def test_a_name_of_any_bytes_can_be_labelled(root):
    field = b'"' + ODD.replace(b'"', b'""') + b'"'
    table = read(root, b"path,sensitive\n" + field + b",1\ntest/a.png,0\n")
    assert set(table["path"]) < {entry.path for entry in list_folder(root)}
    assert table["sensitive"].tolist() == [True, False]


def test_without_the_file_there_are_no_labels(root):
    table = labels(root)
    assert len(table) == 0
    assert list(table) == ["path", "sensitive", "class"]
    assert len(read(root, "path,sensitive\n")) == 0


HEAD = "path,sensitive,class\ntest/a.png,1,cat\n"
REFUSED = {
    "": r"labels\.csv, line 1: the columns path and sensitive are needed.*found: nothing",
    "path;sensitive\na;1\n": r"line 1: .*path and sensitive missing, found: path;sensitive",
    "path,label\na,1\n": r"line 1: .* sensitive missing, found: path, label",
    "path,sensitive,clas\n": r"line 1: the column clas must be one of .*did you mean class\?",
    "path,sensitive,path\n": r"line 1: the column path stands there twice",
    f"{HEAD}unlabeled/9.png,1,cat\n": r"line 3: unlabeled/9\.png is no file of the folder",
    f"{HEAD}a.png,1,cat\n": r"line 3: a\.png is no file of the folder",
    f"{HEAD}unlabeled\\0000.png,1,cat\n": r"line 3: .* is no file .*with / between folders",
    f"{HEAD}../photos/test/a.png,1,\n": r"line 3: \.\./photos/test/a\.png is no file",
    f"{HEAD}labels.csv,1,\n": r"line 3: labels\.csv is no file",
    f"{HEAD}\n\ntest/a.png,1,cat\n": r"line 5: test/a\.png stands in line 2 too",
    f"{HEAD}test/./a.png,0,cat\n": r"line 3: test/a\.png stands in line 2 too",
    f"{HEAD}unlabeled/0000.png,maybe,cat\n": r"line 3: .* must be 0, 1, true or false, got 'ma",
    f"{HEAD}unlabeled/0000.png,,cat\n": r"line 3: .* must be 0, 1, true or false, got ''",
    f"{HEAD}unlabeled/0000.png,1\n": r"line 3: 3 fields are expected.*got 2",
    f"{HEAD}unlabeled/0000.png,1,cat,x\n": r"line 3: 3 fields are expected.*got 4",
    f'{HEAD}"unlabeled/0000.png" x,1,cat\n': r"line 3 cannot be read: ",
    f'{HEAD}"unlabeled/0000.png,1,cat\n': r"line 3 cannot be read: ",
    'path,sensitive,class\ntest/a.png,1,"a\nb"\nx,1,\n': r"line 4: x is no file",
    f"{HEAD}sensitive/0000.webp,0,cat\n": r"line 3: .* said to be not sensitive, but lies in the",
    f"{HEAD}normal/n.png,1,cat\n": r"line 3: .* said to be sensitive, but lies in the folder norm",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_wrong_line_is_refused_with_its_number(root, text):
    with pytest.raises(InvalidInput, match=REFUSED[text]) as refusal:
        read(root, text)
    assert "\n" not in str(refusal.value)


def test_text_of_another_encoding_is_refused(root):
    with pytest.raises(InvalidInput, match=r"labels\.csv, line 1"):
        read(root, HEAD.encode("utf-16"))


def test_what_is_no_ordinary_file_is_not_read(root, tmp_path):
    os.mkfifo(root / "labels.csv")
    with pytest.raises(InvalidInput, match=r"labels\.csv could not be read: no ordinary file"):
        labels(root)
    (root / "labels.csv").unlink()
    (tmp_path / "elsewhere.csv").write_text(HEAD)
    (root / "labels.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(InvalidInput, match=r"labels\.csv could not be read: .*symbolic link"):
        labels(root)


def test_a_letter_in_two_parts_is_the_letter(root):
    """As file systems of macOS write it."""
    write_image(root / "unlabeled" / unicodedata.normalize("NFD", "é.png"), 13)
    found = read(root, "path,sensitive\nunlabeled/é.png,1\n")
    assert list(found["path"]) == [unicodedata.normalize("NFD", "unlabeled/é.png")]
