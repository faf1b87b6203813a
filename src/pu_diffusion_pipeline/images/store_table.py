"""The table of an image store: a row for each file of the user's folder, as Parquet."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.images.folder_listing import Entry
from pu_diffusion_pipeline.images.row_file import map_rows

log = logging.getLogger(__name__)

TABLE = "files.parquet"
KEY = b"image_store"  # what the table was made with, in its metadata
# Of the index; the table in the store has the stamp beside them.
COLUMNS = {
    "position": "Int64",
    "path": "string",
    "role": "string",
    "sha256": "string",
    "width": "Int64",
    "height": "Int64",
    "mode": "string",
    "format": "string",
    "difference_hash": "UInt64",
    "problem": "string",
}
TYPES = {
    **{name: kind.lower() for name, kind in COLUMNS.items()},
    "size": "int64",
    "mtime_ns": "int64",
    "inode": "uint64",
}


class Row(NamedTuple):
    """A row of the store's table: those of the index, and the file's stamp."""

    position: int | None
    path: str
    role: str
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    format: str | None = None
    difference_hash: int | None = None
    problem: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    inode: int | None = None

    def is_true_of(self, entry: Entry) -> bool:
        """Whether the file was read and has the same stamp now."""
        stamp = (self.size, self.mtime_ns, self.inode)
        return self.sha256 is not None and entry.stamp == stamp


class State(NamedTuple):
    """The store as the last update left it; without rows if there was none that fits."""

    rows: dict[str, Row]
    array: Path | None
    num_images: int
    row_of_digest: dict[str, Row]


EMPTY = State({}, None, 0, {})


def load(folder: Path, made_with: dict[str, object]) -> State:
    """What the last update left, if it was made in the same way and nothing is damaged."""
    import pyarrow.parquet as parquet

    if not (folder / TABLE).is_file():
        return EMPTY
    try:
        table = parquet.read_table(folder / TABLE)
        made = json.loads(table.schema.metadata[KEY])
        array = folder / Path(made.pop("array")).name
        if made != made_with:
            return EMPTY
        rows = [Row(**row) for row in table.to_pylist()]
        sound = [row for row in rows if row.problem is None]
        if [row.position for row in sound] != list(range(len(map_rows(array)))):
            raise ValueError("the table does not fit the array")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError) as error:
        log.warning("%s is damaged and made anew: %s", folder, str(error).split("\n")[0])
        return EMPTY
    digests = {row.sha256: row for row in sound if row.sha256}
    return State({row.path: row for row in rows}, array, len(sound), digests)


def save(folder: Path, rows: list[Row], made_with: dict[str, object]) -> None:
    """Take the table's place in one step; what it was made with goes into its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    types = [pa.field(name, getattr(pa, kind)()) for name, kind in TYPES.items()]
    schema = pa.schema(types, metadata={KEY: json.dumps(made_with)})
    table = pa.Table.from_pylist([row._asdict() for row in rows], schema=schema)
    with atomic_write(folder / TABLE) as temporary:
        parquet.write_table(table, temporary)


def index_of(rows: list[Row]) -> pd.DataFrame:
    """The rows without the files' stamps, which differ from machine to machine."""
    columns = {
        name: pd.array([getattr(row, name) for row in rows], dtype=kind)
        for name, kind in COLUMNS.items()
    }
    return pd.DataFrame(columns)
