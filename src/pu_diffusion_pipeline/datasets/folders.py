"""Folders: what a class writes with `save_pretrained` and reads with `from_pretrained`."""

import base64
import io
from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset
from kedro.utils import load_obj

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.datasets.previews import ImagePreview, TextPreview, about


class _FolderDataset(AbstractDataset[Any, Any]):
    """A folder that a class writes with `save_pretrained` and reads with `from_pretrained`.

    Args:
        filepath: the folder.
        type_: the class, such as `diffusers.DDPMPipeline`; imported only when the folder is read.
        marker: a file that a complete folder holds.
        load_args: for `from_pretrained`.
        save_args: for `save_pretrained`.
        metadata: for kedro-viz and for claims (`experiment/claims.py`).
    """

    def __init__(
        self,
        *,
        filepath: str,
        type_: str,
        marker: str,
        load_args: dict[str, object] | None = None,
        save_args: dict[str, object] | None = None,
        metadata: dict[str, object] | None = None,
    ) -> None:
        self.filepath = Path(filepath)
        self._type = type_
        self._marker = marker
        self._load_args = load_args or {}
        self._save_args = save_args or {}
        self.metadata = metadata

    def load(self) -> Any:
        """Read the folder."""
        return load_obj(self._type).from_pretrained(str(self.filepath), **self._load_args)

    def save(self, data: Any) -> None:
        """Write the folder, or leave the old one."""
        with atomic_write(self.filepath) as temporary:
            data.save_pretrained(str(temporary), **self._save_args)

    def _exists(self) -> bool:
        return (self.filepath / self._marker).is_file()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self.filepath), "type": self._type}


class PretrainedFolderDataset(_FolderDataset):
    """A folder of which kedro-viz shows what it is; arguments as for the class above."""

    def preview(self) -> TextPreview:
        """What it is."""
        return about(self.metadata)


class DiffusersPipelineDataset(PretrainedFolderDataset):
    """A diffusers pipeline folder with safetensors weights, read from disk only.

    It is saved as `diffusion.saved_pipeline` says, and read with the scheduler of the training.

    Args:
        filepath: the folder.
        metadata: for kedro-viz and for claims.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None) -> None:
        super().__init__(
            filepath=filepath,
            type_="diffusers.DDPMPipeline",
            marker="model_index.json",
            load_args={"local_files_only": True, "use_safetensors": True},
            save_args={"safe_serialization": True},
            metadata=metadata,
        )

    def save(self, data: Any) -> None:
        """Write the folder; the path that each part was read from is no part of it."""
        from pu_diffusion_pipeline.diffusion.saved_pipeline import saved_pipeline

        for part in data.components.values():
            if "_name_or_path" in part.config:
                part.register_to_config(_name_or_path="")
        super().save(saved_pipeline(data.unet, data.scheduler))

    def load(self) -> Any:
        """Read the pipeline, without the library's own progress bar."""
        from diffusers.utils import logging

        from pu_diffusion_pipeline.diffusion.saved_pipeline import as_trained

        logging.disable_progress_bar()
        return as_trained(super().load())


class ImageSetDataset(_FolderDataset):
    """An `ImageSet`; kedro-viz shows its first images."""

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None) -> None:
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
