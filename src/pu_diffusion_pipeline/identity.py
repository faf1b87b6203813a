"""Run identity: which parameters an artifact depends on, the folder name they give, and what a manifest must match.

The folder shows beta (for methods that use it), the seed and each run-time override that changes the artifact; the
manifest holds every resolved parameter upstream, so that an edit of parameters.yml is noticed too.
"""

import hashlib
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.methods import METHODS, Method
from pu_diffusion_pipeline.parameters import Parameters

# Sections of parameters.yml that each kind of artifact depends on, directly or through what it is made from.
SOURCE = ("benchmark", "data")
SPLIT = (*SOURCE, "seed")
JUDGE = (*SOURCE, "judge")
CLASS_PRIOR = (*SPLIT, "class_prior")
BASE = (*SOURCE, "compute", "denoiser", "noise", "objective", "pretraining")
INITIAL = (*SPLIT, "pretrained", "denoiser", "noise")
MODEL = (*INITIAL, "compute", "objective", "training", "watch")
SAMPLES = (*MODEL, "sampling")
METRICS = (*SAMPLES, "judge", "evaluation")
STAGES = {
    "source": SOURCE,
    "split": SPLIT,
    "judge": JUDGE,
    "reference": (*JUDGE, "evaluation"),
    "class_prior": CLASS_PRIOR,
    "base": BASE,
    "initial": INITIAL,
    "model": MODEL,
    "samples": SAMPLES,
    "metrics": METRICS,
    "recipe": METRICS,  # what the runs of one table share
}
LONGEST_TAG = 120  # characters; file systems allow 255 for a name

PACKAGES = ("accelerate", "diffusers", "kedro", "numpy", "pu_diffusion_pipeline", "scikit-learn", "torch",
            "torch-fidelity", "torchvision")  # fmt: skip


def settings(parameters: Parameters, stage: str, method: str | None = None) -> dict[str, Any]:
    """The resolved parameters an artifact depends on, flat: `{"training.num_steps": 900, ...}`.

    Args:
        parameters: the checked parameters.
        stage: one of `STAGES`.
        method: adds beta where the method uses it, and the class prior's settings where beta is estimated.
    """
    facts = None if method is None else METHODS[method]
    without = _irrelevant(parameters, stage, facts)
    flat = _all_settings(parameters, stage, facts)
    return {name: value for name, value in flat.items() if not {name, name.partition(".")[0]} & without}


def _all_settings(parameters: Parameters, stage: str, method: Method | None) -> dict[str, Any]:
    sections = STAGES[stage]
    if method is not None and method.uses_beta:
        sections += ("beta", "class_prior") if isinstance(parameters.beta, str) else ("beta",)
    if parameters.watch.keep == "best" and "watch" in sections:  # then they decide which weights are kept
        sections = tuple(dict.fromkeys((*sections, "sampling", "judge", "evaluation")))
    flat: dict[str, Any] = {}
    for section in sections:
        _flatten(section, getattr(parameters, section), flat)
    return flat


def _everything(parameters: Parameters) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section in type(parameters).model_fields:
        _flatten(section, getattr(parameters, section), flat)
    return flat


def _irrelevant(parameters: Parameters, stage: str, method: Method | None) -> set[str]:
    """Sections and parameters of a stage that make no difference, given the others."""
    without: set[str] = set()
    if method is None or not method.uses_gamma:
        without.add("objective.gamma")
    if method is not None and not method.trains:
        without |= {"objective", "training", "watch"}
    if parameters.pretrained is None:
        without.add("pretrained")
    elif stage != "base":
        without.add("denoiser")  # the pre-trained model brings its own
        if stage == "initial":
            without.add("seed")
    if parameters.class_prior.encoder is None:
        without.add("class_prior.encoder")
    if parameters.data.num_conditions is None:
        without |= {"data.num_conditions", "training.condition_dropout", "pretraining.condition_dropout"}
        without.add("sampling.guidance")
    if parameters.data.judge_split == "clean":
        without.add("data.judge_split")
    if parameters.watch.keep != "best":  # else watching changes nothing
        without.add("watch")
    if parameters.judge.architecture == "lenet":
        without.add("judge.architecture")
    if parameters.data.counts.labeled_normal == 0:
        without.add("data.counts.labeled_normal")
    if stage == "recipe":
        without.add("seed")
    return without


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    if not isinstance(value, BaseModel):
        into[name] = list(value) if isinstance(value, tuple) else value
        return
    for field, info in type(value).model_fields.items():
        if not (info.json_schema_extra or {}).get("neutral"):  # type: ignore[union-attr]
            _flatten(f"{name}.{field}", getattr(value, field), into)


def run_folder(final: Parameters, configured: Parameters, stage: str, method: str | None = None) -> str:
    """The folder name of a run, such as `beta_0.1-seed_0-training.num_steps_100`.

    Args:
        final: parameters with the run-time overrides.
        configured: parameters as the configuration files give them.
        stage: one of `STAGES`.
        method: as in `settings`.
    """
    configured = configured.model_copy(update={"beta": final.beta})
    asked, usual = (settings(one, stage, method) for one in (final, configured))
    here, there = _everything(final), _everything(configured)
    parts = [_spell(name, asked[name]) for name in ("beta", "seed") if name in asked]
    # A parameter set back to a value that makes no difference (such as pretrained: null) is an override too.
    overrides = [
        _spell(name, here.get(name))
        for name in sorted({*asked, *usual} - {"beta", "seed", "benchmark"})
        if here.get(name) != there.get(name)
    ]
    tag = "-".join([*parts, *overrides]) or "default"
    if len(tag) > LONGEST_TAG or not tag.isascii():
        tag = "-".join([*parts, "overrides_" + hashlib.sha256(tag.encode()).hexdigest()[:12]])
    return tag


def _spell(name: str, value: Any) -> str:
    if isinstance(value, float):
        text = format(value, ".15g")
    elif isinstance(value, list):
        text = "_".join(str(item) for item in value)
    else:
        text = str(value)
    return f"{name}_{text}".replace("/", "_").replace("\\", "_").replace(" ", "")


def check_settings(made: Mapping[str, Any], asked: Mapping[str, Any], what: str) -> None:
    """Refuse an artifact that was made with other parameters than the ones asked for now.

    Raises:
        InvalidInput: naming each differing parameter and the two ways out.
    """
    # JSON has no tuples and spells 1.0 as it likes: equality of values is what counts.
    differing = sorted(name for name in {*made, *asked} if made.get(name) != asked.get(name))
    if not differing:
        return
    lines = [f"  {name}: made with {made.get(name)!r}, now {asked.get(name)!r}" for name in differing]
    raise InvalidInput(
        f"{what} was made with other parameters:\n" + "\n".join(lines) + "\n"
        "Restore the value, or make it anew: pass the change with --params (it then gets a folder of its own), "
        "or delete the old folder and run the earlier pipelines again."
    )


def digest(*arrays: np.ndarray) -> str:
    """sha256 of arrays' shapes, types and bytes, in slices so that a memory-mapped array is never wholly read."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype}".encode())
        for start in range(0, len(array), 4096):
            sha.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return sha.hexdigest()


def code_digest() -> str:
    """sha256 of the library's sources that training runs through."""
    sha = hashlib.sha256()
    package = Path(__file__).parent
    folders = ("diffusion", "images", "positive_unlabeled")
    for path in [package / "seeding.py", *(path for name in folders for path in sorted((package / name).glob("*.py")))]:
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()


def environment() -> dict[str, Any]:
    """Git revision (None outside a repository) and versions of the packages that shape results."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # the project itself may run uninstalled, from src/
            versions[package] = "not installed"
    return {"git_revision": _git_revision(), "versions": versions}


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
