"""kedro-datasets' classes for single files, made atomic: a failed or killed save leaves the old file as it was."""

from typing import Any

from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset

from pu_diffusion_pipeline.atomic import replacing


class _AtomicFile:
    """Mixin for a local, unversioned file data set."""

    def save(self, data: Any) -> None:
        """Write beside the file, then take its place."""
        final = self._filepath
        with replacing(final) as temporary:
            self._filepath = type(final)(temporary)
            try:
                super().save(data)
            finally:
                self._filepath = final


class AtomicCSV(_AtomicFile, CSVDataset):
    """pandas table as CSV."""


class AtomicJSON(_AtomicFile, JSONDataset):
    """JSON document."""


class AtomicParquet(_AtomicFile, ParquetDataset):
    """pandas table as Parquet."""


class AtomicText(_AtomicFile, TextDataset):
    """Text, such as Markdown or HTML."""


class AtomicPlotly(_AtomicFile, PlotlyDataset):
    """plotly figure as JSON."""


class AtomicFigure(_AtomicFile, MatplotlibDataset):
    """matplotlib figure as PNG or SVG."""
