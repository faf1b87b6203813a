"""What data sets have in common that the pipeline only reads: others write there, file by file."""

from pathlib import PurePosixPath
from typing import Any

from kedro.io.core import AbstractDataset


class ReadOnlyDataset(AbstractDataset[None, Any]):
    """A folder that need not exist.

    Args:
        filepath: the folder.
        metadata: for kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath, self.metadata = PurePosixPath(filepath), metadata

    def save(self, data: None) -> None:
        """Not used: what reads the folder, or each run, writes there itself."""
        raise NotImplementedError(f"{type(self).__name__} is only read")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
