"""`labels.csv` of a user's folder: which images are known to be sensitive, and their classes."""

import csv
import io
import posixpath
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.folder_listing import open_regular, path_text, shown
from pu_diffusion_pipeline.options import require_one_of

LABELS = "labels.csv"
NEEDED = ("path", "sensitive")
KNOWN = (*NEEDED, "class")
VALUES = {"0": False, "false": False, "1": True, "true": True}
SENSITIVE = {"sensitive": True, "normal": False}  # what a role says of its images
Line = tuple[int, dict[str, str]]  # its number, from 1, and its fields


def read_labels(root: str | Path, index: pd.DataFrame) -> pd.DataFrame:
    """The labels in PATH/labels.csv, a table without rows if there is no such file.

    Args:
        root: the user's folder.
        index: its files, with columns path and role (`image_store.FolderImages`).

    Returns:
        path (as in the index), sensitive (bool) and class (text, or nothing where the file says
        none), in the file's order. Images that cannot be read are among them.

    Raises:
        InvalidInput: the file is no such table, or a line names no file of the folder, a file
            twice, or says what its role denies. The message has the line's number.
    """
    file = Path(root) / LABELS
    roles = dict(zip(index["path"], index["role"], strict=True))
    alike = {unicodedata.normalize("NFC", path): path for path in roles}  # é in one part or two
    labels: dict[str, tuple[int, bool, str | None]] = {}
    for number, fields in _lines(file):
        path = path_text(posixpath.normpath(fields["path"]))
        if path not in roles:
            path = alike.get(unicodedata.normalize("NFC", path), path)
        where = f"{file}, line {number}: {shown(path)}"
        sensitive = _sensitive(where, fields["sensitive"])
        _check(where, roles.get(path), sensitive)
        if path in labels:
            raise InvalidInput(f"{where} stands in line {labels[path][0]} too. Delete one of them.")
        labels[path] = (number, sensitive, fields.get("class", "").strip() or None)
    columns = {
        "path": pd.array(list(labels), dtype="string"),
        "sensitive": pd.array([sensitive for _, sensitive, _ in labels.values()], dtype="bool"),
        "class": pd.array([name for _, _, name in labels.values()], dtype="string"),
    }
    return pd.DataFrame(columns)


def _sensitive(where: str, text: str) -> bool:
    value = VALUES.get(text.strip().lower())
    if value is None:
        raise InvalidInput(f"{where}: sensitive must be 0, 1, true or false, got {text!r}")
    return value


def _check(where: str, role: str | None, sensitive: bool) -> None:
    if role is None:
        raise InvalidInput(
            f"{where} is no file of the folder. Paths are relative to it, with / between folders, "
            "such as unlabeled/1.png; delete the line if the image is gone."
        )
    if SENSITIVE.get(role, sensitive) != sensitive:
        raise InvalidInput(
            f"{where} is said to be {'sensitive' if sensitive else 'not sensitive'}, but lies in "
            f"the folder {role}. Move it or correct the line."
        )


def _lines(file: Path) -> Iterator[Line]:
    """The lines below the header, as column to text; empty ones are passed over."""
    try:
        with (
            open_regular(file) as raw,
            io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as text,
        ):
            yield from _parsed(file, text)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InvalidInput(f"{file} could not be read: {error.strerror}") from error


def _parsed(file: Path, text: TextIO) -> Iterator[Line]:
    reader = csv.reader(text, strict=True)
    columns: list[str] | None = None
    before = 0
    try:
        for fields in reader:
            number = before + 1
            before = reader.line_num
            if columns is None:
                columns = _columns(file, fields)
            elif len(fields) == len(columns):
                yield number, dict(zip(columns, fields, strict=True))
            elif fields:
                raise InvalidInput(
                    f"{file}, line {number}: {len(columns)} fields are expected, as in the first "
                    f"line, got {len(fields)}. Put a path with a comma in double quotes."
                )
    except csv.Error as error:
        raise InvalidInput(f"{file}, line {before + 1} cannot be read: {error}") from error
    if columns is None:
        _columns(file, [])


def _columns(file: Path, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    where = f"{file}, line 1:"
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise InvalidInput(
            f"{where} the columns path and sensitive are needed, separated by commas; "
            f"{' and '.join(missing)} missing, found: {', '.join(map(shown, names)) or 'nothing'}"
        )
    for name in names:
        try:
            require_one_of(name, KNOWN)
        except ValueError as error:
            raise InvalidInput(f"{where} the column {shown(name)} {error}. Delete it.") from error
        if names.count(name) > 1:
            raise InvalidInput(f"{where} the column {name} stands there twice")
    return names
