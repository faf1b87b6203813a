"""What a finished run left, each part compared with its claim before it is read."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader, open_loader
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.pretrained import HUB_ID, load_pretrained
from pu_diffusion_pipeline.diffusion.weights_check import weights_digest
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import Claim, refuse_changed, refuse_others
from pu_diffusion_pipeline.experiment.commands import kedro_run
from pu_diffusion_pipeline.experiment.identity import made_with
from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.options import require_one_of

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

Content = TypeVar("Content")
MOST_SHOWN = 64
SETS = ("unlabeled", "labeled_sensitive", "labeled_normal", "test", "heldout")
# Which pipeline makes a data set.
STAGES = {
    **{f"{name}_index": "train" for name in SETS},
    "model": "train",
    "training_manifest": "train",
    "samples": "sample",
    "judgements": "evaluate",
    "metrics": "evaluate",
}


@dataclass(frozen=True)
class JudgedSamples:
    """The first samples of a run.

    Attributes:
        images: (N, C, H, W) uint8, N at most `MOST_SHOWN`.
        sensitive: (N,) bool, which of them the judge took for sensitive.
    """

    images: np.ndarray
    sensitive: np.ndarray


@dataclass(frozen=True)
class FinishedRun:
    """A trained model and what is known about it.

    Attributes:
        method: that trained it.
        parameters: of the run.
        hub_base: hub id of the model it was fine-tuned from; None: random weights, or a folder.
        denoiser: the trained denoiser.
        noise_scheduler: the forward process it was trained with.
        manifest: what the training was made with.
        counts: images in each of `SETS` that is there.
        metrics: None if it was not evaluated.
        samples: None if there are none, or the judge did not look at them.
    """

    method: str
    parameters: Parameters
    hub_base: str | None
    denoiser: "UNet2DModel"
    noise_scheduler: "DDPMScheduler"
    manifest: Record
    counts: Mapping[str, int]
    metrics: Record | None
    samples: JudgedSamples | None


def read_run(
    project: Path, env: str | None, overrides: Mapping[str, object], method: str
) -> FinishedRun:
    """Read the model of a run, with its metrics and judged samples where they are there.

    Args:
        project: the project's folder.
        env: the benchmark's folder in conf/; None: the default one.
        overrides: of the parameters, as `--params` gives them.
        method: a name in METHODS that trains.

    Raises:
        InvalidInput: unknown benchmark, parameter or method; no finished model; a file that is not
            what was saved, or was made with other parameters.
    """
    _check_method(method)
    if not (project / "conf").is_dir():
        raise InvalidInput(f"no configuration: no folder {project / 'conf'}; is this the project?")
    artifacts = _Artifacts(project, open_loader(project / "conf", env, overrides), method)
    denoiser, noise_scheduler = artifacts.need("model", artifacts.load_model)
    digest = weights_digest(denoiser)
    manifest = artifacts.need("training_manifest", _read_json)
    _refuse_other_weights("manifest", manifest, digest, artifacts.command("train"))
    again = artifacts.command("sample", "evaluate")
    metrics = artifacts.read("metrics", _read_json)
    samples = None
    if metrics is not None:
        _refuse_other_weights("metrics", metrics["training"], digest, again)
        samples = _read_samples(artifacts, digest, again)
    return FinishedRun(
        method=method,
        parameters=artifacts.parameters,
        hub_base=_hub_base(artifacts.parameters.pretrained, project),
        denoiser=denoiser,
        noise_scheduler=noise_scheduler,
        manifest=manifest,
        counts={**dict(_counts(artifacts)), **manifest.get("num_images", {})},
        metrics=metrics,
        samples=samples,
    )


def _counts(artifacts: "_Artifacts") -> Iterator[tuple[str, int]]:
    for name in SETS:
        table = artifacts.read(f"{name}_index", pd.read_csv)
        if table is not None:
            yield name, len(table)


def _hub_base(pretrained: str | None, project: Path) -> str | None:
    if pretrained is None or not HUB_ID.fullmatch(pretrained):
        return None
    return None if (project / pretrained).is_dir() else pretrained


def _check_method(method: str) -> None:
    trained = [name for name, facts in METHODS.items() if facts.trains]
    if method in METHODS and method not in trained:
        model = METHODS[method].draws_from
        why = f"draws from {' and '.join(model)}" if model else "is what fine-tuning starts from"
        raise InvalidInput(
            f"--method: {method} {why}, no run trains it; expected one of {', '.join(trained)}"
        )
    try:
        require_one_of(method, trained)
    except ValueError as error:
        raise InvalidInput(f"--method: {error}, got {method!r}") from error


class _Artifacts:
    """The data sets of a method's run, by their names without the method's."""

    def __init__(self, project: Path, loader: ProjectConfigLoader, method: str) -> None:
        self.parameters = loader.final_parameters()
        self._project = project
        self._method = method
        self._catalog = loader["catalog"]
        self._overrides = loader.runtime_params

    def read(self, name: str, reader: Callable[[Path], Content]) -> Content | None:
        """What `reader` makes of a data set that is what was saved there; None: it is not there."""
        path = self._path(name)
        if not path.exists():
            return None
        place = self._entry(name)["metadata"]["claim"]
        stage, method = place["stage"], place["method"]
        settings = made_with(self.parameters, stage, method)
        claim = Claim(self._project / place["path"], stage, method, settings)
        with hold(claim.folder, self.parameters.folder_locks, is_shared=True):
            refuse_others([claim])
            refuse_changed(claim.path, path, f"made by {self.command(STAGES[name])}")
            return reader(path)

    def need(self, name: str, reader: Callable[[Path], Content]) -> Content:
        """As `read`, of a data set that must be there."""
        content = self.read(name, reader)
        if content is None:
            raise InvalidInput(
                f"no finished {self._method} model: {self._path(name)} is not there. It is made by "
                f"{self.command(STAGES[name])}"
            )
        return content

    def command(self, *stages: str) -> str:
        """The command that makes what these stages make."""
        pipelines = [f"{stage}_{self._method}" for stage in stages]
        arguments = kedro_run(self.parameters.benchmark, pipelines, self._overrides or {})
        return " ".join(["kedro", *arguments])

    def load_model(self, folder: Path) -> "tuple[UNet2DModel, DDPMScheduler]":
        """Denoiser and noise scheduler of the model's folder."""
        data = self.parameters.data
        return load_pretrained(
            str(folder),
            image_size=data.image_size,
            channels=data.channels,
            noise=self.parameters.noise,
            num_conditions=data.num_conditions,
        )

    def _path(self, name: str) -> Path:
        return self._project / self._entry(name)["filepath"]

    def _entry(self, name: str) -> Mapping[str, Any]:
        return self._catalog.get(f"{self._method}.{name}") or self._catalog[name]


def _read_json(path: Path) -> Record:
    return json.loads(path.read_text(encoding="utf-8"))


def _refuse_other_weights(what: str, training: Record, digest: str, command: str) -> None:
    """Refuse what describes other weights, such as those of an earlier training."""
    if training["weights_digest"] != digest:
        raise InvalidInput(
            f"the {what} of this run are not those of its model, which was trained again since. "
            f"Make them anew: {command}"
        )


def _read_samples(artifacts: _Artifacts, digest: str, again: str) -> JudgedSamples | None:
    """The first samples, if they and the judge's word on them are there."""
    judgements = artifacts.read("judgements", pd.read_csv)
    samples = artifacts.read("samples", ImageSet.from_pretrained)
    if judgements is None or samples is None:
        return None
    _refuse_other_weights("samples", samples.manifest["training"], digest, again)
    if len(judgements) != len(samples):
        raise InvalidInput(f"{len(judgements)} judgements of {len(samples)} samples; {again}")
    sensitive = judgements["judged_sensitive"].to_numpy(bool)[:MOST_SHOWN]
    return JudgedSamples(np.array(samples.images[: len(sensitive)]), sensitive)
