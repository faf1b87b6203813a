"""Single files through kedro-datasets, made atomic: a failed or killed save leaves the old file.

Each class writes beside the file with the kedro-datasets class it names, then takes the file's
place. Only local, unversioned files.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

from kedro.io.core import AbstractDataset
from kedro.utils import load_obj

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.datasets.previews import (
    JSONPreview,
    PlotlyPreview,
    TablePreview,
    TextPreview,
    about,
)


class FileDataset(AbstractDataset[Any, Any]):
    """A file that a kedro-datasets class reads and writes.

    Args:
        filepath: the file.
        load_args: for the class.
        save_args: for the class; they replace the defaults here.
        metadata: for kedro-viz and for claims (`experiment/claims.py`).
    """

    kind: ClassVar[str]
    default_save_args: ClassVar[dict[str, object] | None] = None

    def __init__(
        self,
        *,
        filepath: str,
        load_args: dict[str, object] | None = None,
        save_args: dict[str, object] | None = None,
        metadata: dict[str, object] | None = None,
    ) -> None:
        self.filepath = Path(filepath)
        save_args = save_args or self.default_save_args
        given = {"load_args": load_args, "save_args": save_args}
        self._arguments = {name: value for name, value in given.items() if value is not None}
        self.metadata = metadata

    def load(self) -> Any:
        """Read the file."""
        return self._at(self.filepath).load()

    def save(self, data: Any) -> None:
        """Write beside the file, then take its place."""
        with atomic_write(self.filepath) as temporary:
            self._at(temporary).save(data)

    def _at(self, path: Path) -> Any:
        return load_obj(self.kind)(filepath=str(path), **self._arguments)

    def _exists(self) -> bool:
        return self.filepath.is_file()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self.filepath)}


class CSVDataset(FileDataset):
    """A pandas table as CSV, without its index."""

    kind = "kedro_datasets.pandas.CSVDataset"
    default_save_args: ClassVar[dict[str, object] | None] = {"index": False}

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows."""
        return self._at(self.filepath).preview(nrows=nrows)


class ParquetDataset(FileDataset):
    """A pandas table as Parquet."""

    kind = "kedro_datasets.pandas.ParquetDataset"

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows."""
        return self._at(self.filepath).preview(nrows=nrows)


class JSONDataset(FileDataset):
    """A JSON document, an object."""

    kind = "kedro_datasets.json.JSONDataset"

    def preview(self) -> JSONPreview:
        """What it is and, if it is there, the document."""
        said = {"about": about(self.metadata)}
        return JSONPreview(json.dumps({**said, **self.load()} if self._exists() else said))


class RecordDataset(JSONDataset):
    """A JSON record that says what it was made with.

    When a run saves it, the keys `settings` (the parameters it depends on) and those of
    `experiment.software` are added (`hooks.Provenance`).
    """


class TextDataset(FileDataset):
    """Text, such as Markdown or HTML."""

    kind = "kedro_datasets.text.TextDataset"

    def preview(self) -> TextPreview:
        """What it is."""
        return about(self.metadata)


class PlotlyDataset(FileDataset):
    """A plotly figure as JSON."""

    kind = "kedro_datasets.plotly.JSONDataset"

    def preview(self) -> PlotlyPreview:
        """The figure."""
        return self._at(self.filepath).preview()
