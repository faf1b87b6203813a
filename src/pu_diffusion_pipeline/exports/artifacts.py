"""The files that a run left, each compared with its claim before it is read."""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader, open_loader
from pu_diffusion_pipeline.diffusion.pretrained import load_pretrained
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import Claim, refuse_changed, refuse_others
from pu_diffusion_pipeline.experiment.commands import kedro_run, typed
from pu_diffusion_pipeline.experiment.identity import made_with
from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.options import require_one_of

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

Content = TypeVar("Content")
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


class Artifacts:
    """The data sets of a method's run, by their names without the method's."""

    def __init__(self, project: Path, loader: ProjectConfigLoader, method: str) -> None:
        self.parameters = loader.final_parameters()
        self._project = project
        self._method = method
        self._catalog = loader["catalog"]
        self._overrides = loader.runtime_params

    @classmethod
    def open(
        cls, project: Path, env: str | None, overrides: Mapping[str, object], method: str
    ) -> "Artifacts":
        """Those of a run that is named as for `kedro run`.

        Args:
            project: the project's folder.
            env: the benchmark's folder in conf/; None: the default one.
            overrides: of the parameters, as `--params` gives them.
            method: a name in METHODS.

        Raises:
            InvalidInput: no configuration, unknown benchmark or parameter.
        """
        conf = project / "conf"
        if not conf.is_dir():
            raise InvalidInput(f"no configuration: no folder {conf}; is this the project?")
        return cls(project, open_loader(conf, env, overrides), method)

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

    def need(self, name: str, reader: Callable[[Path], Content], what: str) -> Content:
        """As `read`, of a data set that must be there; `what` it is, for the message."""
        content = self.read(name, reader)
        if content is None:
            raise InvalidInput(
                f"no {what}: {self._path(name)} is not there. It is made by "
                f"{self.command(STAGES[name])}"
            )
        return content

    def command(self, *stages: str) -> str:
        """The command that makes what these stages make."""
        pipelines = [f"{stage}_{self._method}" for stage in stages]
        arguments = kedro_run(self.parameters.benchmark, pipelines, self._overrides or {})
        return typed(arguments)

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


def check_method(method: str, known: Collection[str]) -> None:
    """Refuse what `--method` cannot be.

    Raises:
        InvalidInput: it is not among the known ones.
    """
    try:
        require_one_of(method, known)
    except ValueError as error:
        raise InvalidInput(f"--method: {error}, got {method!r}") from error


def read_sensitive(artifacts: Artifacts, num_samples: int) -> np.ndarray | None:
    """(N,) bool, which samples the judge took for sensitive; None: no judgements are there."""
    judgements = artifacts.read("judgements", pd.read_csv)
    if judgements is None:
        return None
    if len(judgements) != num_samples:
        again = artifacts.command("sample", "evaluate")
        raise InvalidInput(f"{len(judgements)} judgements of {num_samples} samples; {again}")
    return judgements["judged_sensitive"].to_numpy(bool)


def read_json(path: Path) -> Record:
    """A record of a run."""
    return json.loads(path.read_text(encoding="utf-8"))


def refuse_other_weights(what: str, training: Record, digest: str, command: str) -> None:
    """Refuse what describes other weights, such as those of an earlier training."""
    if training["weights_digest"] != digest:
        raise InvalidInput(
            f"the {what} of this run are not those of its model, which was trained again since. "
            f"Make them anew: {command}"
        )
