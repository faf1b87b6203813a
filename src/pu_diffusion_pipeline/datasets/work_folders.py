"""Folders that are not saved as a whole: nodes or other runs write there, file by file.

They need not exist before a run, so `hooks.CheckFiles` does not ask for them.
"""

from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset
from kedro.utils import load_obj

from pu_diffusion_pipeline.datasets.previews import TextPreview, about
from pu_diffusion_pipeline.metrics.registry import Record, read_record


class WorkFolderDataset(AbstractDataset[None, Any]):
    """Gives a node a folder to work in, such as the one with the checkpoints of a training.

    Args:
        filepath: the folder.
        type_: what the node is given: this class, called with the folder's path.
        metadata: for kedro-viz and for claims (`experiment/claims.py`).
    """

    def __init__(
        self,
        *,
        filepath: str,
        type_: str = "pathlib.Path",
        metadata: dict[str, object] | None = None,
    ) -> None:
        self.filepath = Path(filepath)
        self._type = type_
        self.metadata = metadata

    def load(self) -> Any:
        """The folder as the node wants it; nothing is read."""
        return load_obj(self._type)(str(self.filepath))

    def save(self, data: None) -> None:
        """Not used: who works in the folder writes there."""
        raise NotImplementedError(f"{type(self).__name__} is not saved by the pipeline")

    def preview(self) -> TextPreview:
        """What it is, for kedro-viz."""
        return about(self.metadata)

    def _exists(self) -> bool:
        return self.filepath.is_dir()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self.filepath)}


class RunRecordsDataset(WorkFolderDataset):
    """A record of every finished run of a benchmark, such as its metrics.

    kedro-datasets' PartitionedDataset cannot stand here: a pipeline that makes the first partition
    cannot read it.

    Args:
        filepath: the folder with `<method>/<run>/<artifact>.json`.
        artifact: which record: the data sets `<method>.<artifact>`.
        stage: of `experiment.identity.STAGES`, whose claim holds the records' digests.
        metadata: for kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        artifact: str,
        stage: str,
        metadata: dict[str, object] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self.artifact = artifact
        self.stage = stage

    def load(self) -> dict[str, Record]:
        """Run (`<method>/<run>`) to its record, as they are now."""
        return {
            path.parent.relative_to(self.filepath).as_posix(): read_record(path)
            for path in self.files()
        }

    def files(self) -> list[Path]:
        """The files of the records."""
        return sorted(self.filepath.glob(f"*/*/{self.artifact}.json"))
