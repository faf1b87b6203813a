"""`kedro export-samples`: the saved samples of a run as PNG files, and what they are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.exports.artifacts import (
    Artifacts,
    check_method,
    read_json,
    read_sensitive,
    refuse_other_weights,
)
from pu_diffusion_pipeline.exports.new_folder import refuse_bad_place
from pu_diffusion_pipeline.exports.pictures import picture_name, write_pictures
from pu_diffusion_pipeline.images.image_set import ImageSet

LIST = "samples.json"


@dataclass(frozen=True)
class SamplesRequest:
    """Which samples are written, and to where.

    Attributes:
        to: a new or empty folder.
        env: the benchmark's folder in conf/; None: the default one.
        parameters: overrides that the run was made with.
        method: whose samples.
        num: how many, from the first on; None: all.
    """

    to: Path
    env: str | None
    parameters: Mapping[str, object]
    method: str
    num: int | None


def export_samples(request: SamplesRequest, project: Path, say: Callable[[str], object]) -> None:
    """Write sample i as `picture_name(i)`, and `samples.json` beside them.

    Args:
        request: which samples, and to where.
        project: the project's folder.
        say: prints a line.

    Raises:
        InvalidInput: a place that cannot be written to; no samples, or fewer than asked for; a
            file that is not what was saved, or was made with other parameters.
    """
    refuse_bad_place(request.to, "--to", empty_is_new=True)
    check_method(request.method, METHODS)
    artifacts = Artifacts.open(project, request.env, request.parameters, request.method)
    what = f"samples of {request.method}"
    samples = artifacts.need("samples", ImageSet.from_pretrained, what)
    if request.num is not None and request.num > len(samples):
        raise InvalidInput(
            f"--num: expected at most {len(samples)}, all of them, got {request.num}"
        )
    sensitive = _read_judgement(artifacts, samples)
    first = slice(request.num)
    chosen = samples.select(first)
    judged = None if sensitive is None else sensitive[first]
    listed = _listed(samples, chosen, judged, request.method)
    with atomic_write(request.to) as temporary:
        write_pictures(temporary, chosen.images)
        text = json.dumps({"benchmark": artifacts.parameters.benchmark, **listed}, indent=1)
        (temporary / LIST).write_text(text + "\n", encoding="utf-8")
    say(f"{request.to}: {len(chosen)} {what}, {picture_name(0)} on; {LIST} says what they are")
    if judged is None:
        say(f"Nobody has judged them. That does {artifacts.command('evaluate')}")
    else:
        say(f"The judge took {judged.sum()} of them for sensitive; they are among the files.")


def _read_judgement(artifacts: Artifacts, samples: ImageSet) -> np.ndarray | None:
    """(N,) bool, which samples were judged sensitive; None: their evaluation is not finished."""
    metrics = artifacts.read("metrics", read_json)
    if metrics is None:
        return None
    digest = samples.manifest["training"]["weights_digest"]
    refuse_other_weights("metrics", metrics["training"], digest, artifacts.command("evaluate"))
    return read_sensitive(artifacts, len(samples))


def _listed(
    samples: ImageSet, chosen: ImageSet, judged: np.ndarray | None, method: str
) -> dict[str, object]:
    """What samples.json holds: only what is named here, since a whole record may hold a path."""
    training = samples.manifest["training"]
    images: list[dict[str, object]] = [
        {
            "file": picture_name(index),
            "judged_sensitive": None if judged is None else bool(judged[index]),
        }
        for index in range(len(chosen))
    ]
    if chosen.conditions is not None:
        for image, condition in zip(images, chosen.conditions, strict=True):
            image["condition"] = int(condition)
    return {
        "method": method,
        "beta": training["beta"],
        "seed": training["seed"],
        "weights_digest": training["weights_digest"],
        "num_saved": len(samples),
        "num_judged_sensitive": None if judged is None else int(judged.sum()),
        "images": images,
    }
