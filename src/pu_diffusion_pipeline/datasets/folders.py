"""Data sets of folders: anything with `save_pretrained` and `from_pretrained`, and the home of resume states."""

import base64
import io
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io.core import AbstractDataset
from kedro.utils import load_obj
from kedro_datasets._typing import ImagePreview

from pu_diffusion_pipeline.atomic import replacing
from pu_diffusion_pipeline.datasets.read_only import ReadOnlyDataset


class PretrainedFolderDataset(AbstractDataset[Any, Any]):
    """A folder that a class writes with `save_pretrained` and reads with `from_pretrained`.

    Args:
        filepath: the folder.
        type_: the class, such as `diffusers.DDPMPipeline`; imported only when the folder is read.
        marker: a file that a complete folder holds.
        load_args: for `from_pretrained`.
        save_args: for `save_pretrained`.
        metadata: for kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        type_: str,
        marker: str,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath, self._type, self._marker = PurePosixPath(filepath), type_, marker
        self._load_args, self._save_args = load_args or {}, save_args or {}
        self.metadata = metadata

    def load(self) -> Any:
        """Read the folder."""
        return load_obj(self._type).from_pretrained(str(self._filepath), **self._load_args)

    def save(self, data: Any) -> None:
        """Write the folder, or leave the old one."""
        with replacing(str(self._filepath)) as temporary:
            data.save_pretrained(str(temporary), **self._save_args)

    def _exists(self) -> bool:
        return Path(self._filepath, self._marker).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "type": self._type}


class IfSavedDataset(PretrainedFolderDataset):
    """The folder as it was saved before, or None: for a node that need not make again what is there."""

    def load(self) -> Any:
        """Read the folder if it is whole."""
        return super().load() if super()._exists() else None

    def _exists(self) -> bool:
        return True


class DiffusersPipelineDataset(PretrainedFolderDataset):
    """A diffusers pipeline folder with safetensors weights, read from disk only.

    Args:
        filepath: the folder.
        pipeline: the pipeline's class.
        metadata: for kedro-viz.
    """

    def __init__(
        self, *, filepath: str, pipeline: str = "diffusers.DDPMPipeline", metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(
            filepath=filepath,
            type_=pipeline,
            marker="model_index.json",
            load_args={"local_files_only": True, "use_safetensors": True},
            save_args={"safe_serialization": True},
            metadata=metadata,
        )

    def load(self) -> Any:
        """Read the pipeline, without the library's own progress bar."""
        from diffusers.utils import logging

        logging.disable_progress_bar()
        return super().load()


class ImageSetDataset(PretrainedFolderDataset):
    """An `ImageSet` with a preview of its first images in kedro-viz."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(
            filepath=filepath,
            type_="pu_diffusion_pipeline.images.image_set.ImageSet",
            marker="manifest.json",
            metadata=metadata,
        )

    def preview(self, count: int = 40, columns: int = 10) -> ImagePreview:
        """The first images as one picture."""
        from pu_diffusion_pipeline.reports.figures import mosaic

        buffer = io.BytesIO()
        mosaic(self.load().images[:count], columns).save(buffer, "PNG")
        return ImagePreview(base64.b64encode(buffer.getvalue()).decode())


class CheckpointsDataset(ReadOnlyDataset):
    """Gives a training node the folder that holds its resume states; the node reads and writes it as it goes.

    Args:
        filepath: the folder; it need not exist.
        metadata: for kedro-viz.
    """

    def load(self) -> Any:
        """The store at the folder."""
        from pu_diffusion_pipeline.diffusion.checkpoints import CheckpointStore

        return CheckpointStore(str(self._filepath))


class WatchDataset(ReadOnlyDataset):
    """Gives a training node the place of its watcher; the watcher reads and writes it as training goes on.

    Args:
        filepath: the watcher's folder; it need not exist.
        reads: `judge`, `test_images` and `reference_features`, each with the `filepath` of its folder.
        metadata: for kedro-viz.
    """

    def __init__(
        self, *, filepath: str, reads: dict[str, dict[str, str]], metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self._reads = reads

    def load(self) -> Any:
        """The place; nothing is read."""
        from pu_diffusion_pipeline.diffusion.watching import WatchPlace

        folders = {name: Path(entry["filepath"]) for name, entry in self._reads.items()}
        return WatchPlace(Path(self._filepath), **folders)
