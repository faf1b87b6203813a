"""A Matplotlib figure, saved in several formats beside one another."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.io import AbstractDataset

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.datasets.previews import ImagePreview

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class FigureDataset(AbstractDataset["Figure", dict[str, bytes]]):
    """Saves a figure, and loads its pictures: a picture does not hold its figure.

    Args:
        filepath: of the picture; for each format its suffix is replaced.
        formats: as Matplotlib names them.
        dpi: pixels per inch of formats that have pixels.
        metadata: for kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        formats: Sequence[str] = ("png", "svg"),
        dpi: int = 140,
        metadata: dict[str, object] | None = None,
    ) -> None:
        self.filepath = Path(filepath)
        self._formats = tuple(formats)
        self._dpi = dpi
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """Format to the content of its file."""
        return {kind: self._file(kind).read_bytes() for kind in self._formats}

    def save(self, data: "Figure") -> None:
        """Write the figure in each format, or leave the old files."""
        from pu_diffusion_pipeline.reports.figure_files import write_figure

        for kind in self._formats:
            with atomic_write(self._file(kind)) as temporary:
                write_figure(data, temporary, kind, self._dpi)

    def preview(self) -> ImagePreview:
        """The PNG, for kedro-viz."""
        return ImagePreview(base64.b64encode(self._file("png").read_bytes()).decode())

    @property
    def files(self) -> list[Path]:
        """What it saves."""
        return [self._file(kind) for kind in self._formats]

    def _file(self, kind: str) -> Path:
        return self.filepath.with_suffix(f".{kind}")

    def _exists(self) -> bool:
        return all(path.is_file() for path in self.files)

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self.filepath), "formats": self._formats}
