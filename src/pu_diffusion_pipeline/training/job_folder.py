"""A training's job as a folder that other processes read: model, training sets, options, judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.diffusion.options import SamplingOptions
from pu_diffusion_pipeline.errors import InvalidInput, TrainingDiverged
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.fidelity import Features
from pu_diffusion_pipeline.metrics.judge import Judge
from pu_diffusion_pipeline.metrics.options import EvaluationOptions
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from pu_diffusion_pipeline.training.code_identity import differing_modules, running_code
from pu_diffusion_pipeline.training.judged_samples import WatchSetup
from pu_diffusion_pipeline.training.options import WatchOptions
from pu_diffusion_pipeline.training.sets import TrainingSets

if TYPE_CHECKING:
    from diffusers import DDPMPipeline

MISTAKES = {kind.__name__: kind for kind in (InvalidInput, TrainingDiverged)}


class Description(TypedDict):
    """A job without its model: what job.json says of it; sections of parameters.yml are dumped."""

    method: str
    beta: float | None
    seed: int
    training: dict[str, object]
    objective: dict[str, object]
    compute: dict[str, object]
    title: str
    tensorboard: str | None


class JobFolder:
    """The folder of a job, beside the checkpoints of its training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_prepared(self) -> bool:
        """Whether there is a job in it."""
        return (self.folder / "job.json").is_file()

    def save(
        self,
        model: DDPMPipeline,
        description: Description,
        sets: TrainingSets,
        watch: WatchSetup | None,
        data_digest: str,
    ) -> None:
        """Write a job anew; `job.json` comes last."""
        from diffusers import DDPMPipeline

        self.delete()
        plain = DDPMPipeline(unet=model.unet, scheduler=model.scheduler)
        plain.save_pretrained(self.folder / "model")
        for name, part in zip(SETS, sets, strict=True):
            if part is not None:
                part.save_pretrained(self.folder / name)
        if watch is not None:
            self._save_watch(watch)
        whole = {
            "job": description,
            "data_digest": data_digest,
            "code_digests": running_code(),
        }
        self._write("job.json", whole)

    def refuse_another(self, description: Description, data_digest: str) -> None:
        """Refuse to take a job that lies here for another one.

        Raises:
            InvalidInput: it was prepared with other parameters, images or initial weights.
        """
        if not self.is_prepared:
            return
        whole = json.loads((self.folder / "job.json").read_text())
        if (whole["job"], whole.get("data_digest")) != (description, data_digest):
            raise InvalidInput(
                f"{self.folder} holds a job of other parameters, images or initial weights than "
                "there are now. End its processes if they run, delete it, and run this again."
            )

    def description(self) -> Description:
        """What kind of job it is.

        Raises:
            InvalidInput: other code of this package has prepared it.
        """
        whole = json.loads((self.folder / "job.json").read_text())
        if differing := differing_modules(whole["code_digests"], running_code()):
            raise InvalidInput(
                f"{self.folder} was prepared by other code of this package "
                f"({', '.join(differing)}); delete it and prepare it anew"
            )
        return whole["job"]

    def model(self) -> DDPMPipeline:
        """Where training starts; read without the library's own progress bar."""
        from diffusers import DDPMPipeline
        from diffusers.utils import logging

        logging.disable_progress_bar()
        return DDPMPipeline.from_pretrained(
            self.folder / "model", local_files_only=True, use_safetensors=True
        )

    def sets(self) -> TrainingSets:
        """The training sets; their images stay on disk until they are used."""
        folders = [self.folder / name for name in SETS]
        unlabeled, labeled_sensitive, labeled_normal = (
            ImageSet.from_pretrained(folder) if folder.is_dir() else None for folder in folders
        )
        assert unlabeled is not None
        assert labeled_sensitive is not None
        return TrainingSets(unlabeled, labeled_sensitive, labeled_normal)

    def watch(self) -> WatchSetup | None:
        """What the training is watched with; None if it is not watched."""
        if not (self.folder / "watch.json").is_file():
            return None
        plain = json.loads((self.folder / "watch.json").read_text())
        return WatchSetup(
            Judge.from_pretrained(self.folder / "judge"),
            Features.from_pretrained(self.folder / "reference"),
            Path(plain["folder"]),
            WatchOptions.model_validate(plain["watch"]),
            SamplingOptions.model_validate(plain["sampling"]),
            EvaluationOptions.model_validate(plain["evaluation"]),
        )

    def save_mistake(self, error: Exception) -> None:
        """Write down a user's mistake, for the process that started the job."""
        self._write("mistake.json", {"kind": type(error).__name__, "message": str(error)})

    def raise_mistake(self) -> None:
        """Raise what a process of the job has written down, once: the job is deleted."""
        path = self.folder / "mistake.json"
        if path.is_file():
            mistake = json.loads(path.read_text())
            self.delete()
            raise MISTAKES[mistake["kind"]](mistake["message"])

    def delete(self) -> None:
        """Delete the job."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _save_watch(self, watch: WatchSetup) -> None:
        watch.judge.save_pretrained(self.folder / "judge")
        watch.reference.save_pretrained(self.folder / "reference")
        plain = {
            "folder": str(watch.folder.resolve()),
            "watch": watch.watch.model_dump(mode="json"),
            "sampling": watch.sampling.model_dump(mode="json"),
            "evaluation": watch.evaluation.model_dump(mode="json"),
        }
        self._write("watch.json", plain)

    def _write(self, name: str, content: object) -> None:
        with atomic_write(self.folder / name) as temporary:
            temporary.write_text(json.dumps(content, indent=1))
