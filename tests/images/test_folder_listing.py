"""What a user's folder holds, and what of it must never be opened."""

import logging
import os
import socket
from pathlib import Path

import pytest

from image_folders import write_folder, write_image
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images import folder_listing
from pu_diffusion_pipeline.images.folder_listing import list_folder, open_regular, path_text


@pytest.fixture
def root(tmp_path) -> Path:
    return write_folder(tmp_path / "photos", unlabeled=2, sensitive=1)


def paths(root: Path) -> list[str]:
    return [entry.path for entry in list_folder(root)]


def problems(root: Path) -> dict[str, str]:
    """The problems of the files that have one; nothing but the stamp tells a sound file."""
    entries = list_folder(root)
    assert all((entry.stamp is None) == (entry.problem is not None) for entry in entries)
    return {entry.path: entry.problem for entry in entries if entry.problem}


def test_files_are_listed_with_their_roles_in_the_order_of_their_paths(root):
    write_image(root / "test/b.png", 1)
    write_image(root / "normal/B.PNG", 2)
    write_image(root / "unlabeled/sub/sub/a.jpg", 3)
    write_image(root / "unlabeled/sub-a.jpg", 4)
    assert [(entry.path, entry.role) for entry in list_folder(root)] == [
        ("normal/B.PNG", "normal"),
        ("sensitive/0000.webp", "sensitive"),
        ("test/b.png", "test"),
        ("unlabeled/0000.png", "unlabeled"),
        ("unlabeled/0001.JPG", "unlabeled"),
        ("unlabeled/sub-a.jpg", "unlabeled"),
        ("unlabeled/sub/sub/a.jpg", "unlabeled"),
    ]
    assert problems(root) == {}


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._1.png", ".hidden/1.png", "__MACOSX/1.png", "Thumbs.db", "desktop.ini"],
)
def test_hidden_files_and_by_products_are_passed_over(root, name):
    before = paths(root)
    write_image(root / "unlabeled" / name, 1)
    write_image(root / "unlabeled/sub" / name, 1)
    assert paths(root) == before


def test_what_is_no_ordinary_file_is_listed_and_not_opened(root, tmp_path):
    os.mkfifo(root / "unlabeled/pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "unlabeled/socket.png"))
    assert problems(root) == {
        "unlabeled/pipe.png": "a named pipe",
        "unlabeled/socket.png": "a socket",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_listed_and_not_opened(root):
    os.mknod(root / "unlabeled/zero.png", 0o20600, os.makedev(1, 5))
    assert problems(root) == {"unlabeled/zero.png": "a device"}


def test_links_are_followed_inside_the_folder_only(root, tmp_path):
    outside = tmp_path / "secret.png"
    write_image(outside, 5)
    links = {
        "inside.png": "0000.png",
        "inside_too.png": str(root / "unlabeled/0000.png"),
        "outside.png": "../../secret.png",
        "device.png": "/dev/zero",
        "nowhere.png": "gone.png",
        "self.png": "self.png",
        "folder": "../sensitive",
        "up": "..",
    }
    for name, target in links.items():
        (root / "unlabeled" / name).symlink_to(target)
    assert problems(root) == {
        "unlabeled/outside.png": "a link that leads out of the folder",
        "unlabeled/device.png": "a link that leads out of the folder",
        "unlabeled/nowhere.png": "No such file or directory",
        "unlabeled/self.png": "Too many levels of symbolic links",
        "unlabeled/folder": "a link to a folder",
        "unlabeled/up": "a link to a folder",
    }
    locations = {entry.path: entry.location for entry in list_folder(root)}
    assert locations["unlabeled/inside.png"] == str(root / "unlabeled/0000.png")


def test_the_folder_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    (root / "unlabeled/inside.png").symlink_to("0000.png")
    assert paths(tmp_path / "link") == paths(root)
    assert problems(tmp_path / "link") == {}


NAMES = [
    b"with space.png",
    b"with\nnewline.png",
    "ü日本🙂.png".encode(),
    "u\N{COMBINING DIAERESIS}.png".encode(),
    b"latin1 \xfc.png",
    b"\\xfc.png",
    b"\xfc.png",
    b'quote".png',
    b"-rf",
    b"x" * 251 + b".png",
    b"\xff" * 255,
]


def test_every_name_is_listed_as_text_of_its_own(root):
    for name in NAMES:
        write_image(root / "unlabeled/sub" / os.fsdecode(name), 1)
    found = [path for path in paths(root) if path.startswith("unlabeled/sub/")]
    assert len(found) == len(set(found)) == len(NAMES)
    assert set(found) == {path_text(os.fsdecode(b"unlabeled/sub/" + name)) for name in NAMES}
    assert "unlabeled/sub/ü日本🙂.png" in found
    assert "unlabeled/sub/\\xfc.png" in found
    assert "unlabeled/sub/\\\\xfc.png" in found
    "".join(found).encode()  # no lone surrogates
    for entry in list_folder(root):
        open_regular(entry.location).close()


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_a_folder_that_is_gone_or_closed_when_its_turn_comes_is_a_problem(root, monkeypatch, error):
    write_image(root / "unlabeled/a/1.png", 1)
    scandir = os.scandir

    def scan(folder):
        if Path(folder).name == "a":
            raise error(2, "it is not there", folder)
        return scandir(folder)

    monkeypatch.setattr(folder_listing.os, "scandir", scan)
    assert problems(root) == {"unlabeled/a": "it is not there"}
    assert "unlabeled/0000.png" in paths(root)


def test_folders_without_a_role_are_named_in_a_warning(root, caplog):
    write_image(root / "tests/1.png", 1)
    write_image(root / "README.md", 1)
    write_image(root / "__MACOSX/1.png", 1)
    with caplog.at_level(logging.WARNING):
        assert len(paths(root)) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"data.root {root}: not read, because it is no role: tests"
    ]


@pytest.mark.parametrize("role", ["unlabeled", "sensitive"])
def test_a_folder_without_a_needed_role_is_refused_saying_what_there_is(root, role):
    (root / role).rename(root / f"{role}_images")
    with pytest.raises(InvalidInput, match=rf"no folder {role}\. .*found: .*{role}_images"):
        list_folder(root)


@pytest.mark.parametrize("role", ["unlabeled", "sensitive"])
def test_a_needed_role_without_files_is_refused(root, role):
    (root / role).rename(root / "elsewhere")
    (root / role / "sub").mkdir(parents=True)
    (root / role / ".DS_Store").touch()
    with pytest.raises(InvalidInput, match=f"the folder {role} has no files"):
        list_folder(root)


@pytest.mark.parametrize("role", ["unlabeled", "normal"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_role_that_is_a_link_or_a_file_is_refused(root, tmp_path, role, kind):
    if (root / role).exists():
        (root / role).rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir(exist_ok=True)
    if kind == "link":
        (root / role).symlink_to(tmp_path / "elsewhere")
    else:
        (root / role).touch()
    with pytest.raises(InvalidInput, match=f"{role} must be a folder, not a file or a link"):
        list_folder(root)


def test_a_path_that_is_no_folder_is_refused(root):
    with pytest.raises(InvalidInput, match=r"data\.root .*nowhere must be a folder"):
        list_folder(root / "nowhere")
    with pytest.raises(InvalidInput, match=r"data\.root .*0000\.png must be a folder"):
        list_folder(root / "unlabeled/0000.png")


def test_opening_waits_for_nobody_and_follows_no_link(root):
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("unlabeled/0000.png")
    with pytest.raises(OSError, match="no ordinary file"):
        open_regular(root / "pipe")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(root / "link")
    with pytest.raises(OSError, match="no ordinary file"):
        open_regular(root)
