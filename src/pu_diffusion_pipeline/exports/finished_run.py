"""What a finished run left, each part compared with its claim before it is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.pretrained import HUB_ID
from pu_diffusion_pipeline.diffusion.weights_check import weights_digest
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.exports.artifacts import (
    SETS,
    Artifacts,
    check_method,
    read_json,
    read_sensitive,
    refuse_other_weights,
)
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.registry import Record

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

MOST_SHOWN = 64


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
    _check_trains(method)
    artifacts = Artifacts.open(project, env, overrides, method)
    model = f"finished {method} model"
    denoiser, noise_scheduler = artifacts.need("model", artifacts.load_model, model)
    digest = weights_digest(denoiser)
    manifest = artifacts.need("training_manifest", read_json, model)
    refuse_other_weights("manifest", manifest, digest, artifacts.command("train"))
    again = artifacts.command("sample", "evaluate")
    metrics = artifacts.read("metrics", read_json)
    samples = None
    if metrics is not None:
        refuse_other_weights("metrics", metrics["training"], digest, again)
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


def _counts(artifacts: Artifacts) -> Iterator[tuple[str, int]]:
    for name in SETS:
        table = artifacts.read(f"{name}_index", pd.read_csv)
        if table is not None:
            yield name, len(table)


def _hub_base(pretrained: str | None, project: Path) -> str | None:
    if pretrained is None or not HUB_ID.fullmatch(pretrained):
        return None
    return None if (project / pretrained).is_dir() else pretrained


def _check_trains(method: str) -> None:
    trained = [name for name, facts in METHODS.items() if facts.trains]
    if method in METHODS and method not in trained:
        model = METHODS[method].draws_from
        why = f"draws from {' and '.join(model)}" if model else "is what fine-tuning starts from"
        raise InvalidInput(
            f"--method: {method} {why}, no run trains it; expected one of {', '.join(trained)}"
        )
    check_method(method, trained)


def _read_samples(artifacts: Artifacts, digest: str, again: str) -> JudgedSamples | None:
    """The first samples, if they and the judge's word on them are there."""
    samples = artifacts.read("samples", ImageSet.from_pretrained)
    sensitive = None if samples is None else read_sensitive(artifacts, len(samples))
    if samples is None or sensitive is None:
        return None
    refuse_other_weights("samples", samples.manifest["training"], digest, again)
    first = sensitive[:MOST_SHOWN]
    return JudgedSamples(np.array(samples.images[: len(first)]), first)
