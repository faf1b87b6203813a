"""Run identity: the parameters an artifact depends on, the folder they give, what must match.

The folder shows beta (for methods that use it), the seed and each run-time override that changes
the artifact. The manifest holds every resolved parameter upstream, so that an edit of
parameters.yml is noticed too. Which options matter when is declared beside them (`options.py`).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from pydantic.fields import FieldInfo

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.options import NEUTRAL, Artifact, Brings, Options, matters

# The sections of parameters.yml that each kind of artifact depends on, directly or through what it
# is made from.
SOURCE = ("benchmark", "data")
SPLIT = (*SOURCE, "seed")
JUDGE = (*SOURCE, "judge")
SENSITIVITY = (*SPLIT, "sensitivity", "class_prior")
CLEANED = (*SENSITIVITY, "cleaning")
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
    "sensitivity": SENSITIVITY,
    "cleaned": CLEANED,
    "base": BASE,
    "initial": INITIAL,
    "model": MODEL,
    "samples": SAMPLES,
    "metrics": METRICS,
    "relearned": (*SAMPLES, "relearning"),
    "relearning": (*METRICS, "relearning"),
    "comparable": METRICS,  # what the runs of one table share
    "frontier": (*METRICS, "cleaning", "guiding", "filtering", "sensitivity", "class_prior"),
}
NOTHING_GIVEN = "default"  # the folder of what depends on no override
LONGEST_TAG = 120  # characters; file systems allow 255 for a name


def made_with(parameters: Parameters, stage: str, method: str | None = None) -> dict[str, object]:
    """The resolved parameters an artifact depends on, flat: `{"training.num_steps": 900, ...}`.

    Args:
        parameters: all of them.
        stage: one of `STAGES`.
        method: adds beta where the method uses it, and how beta is estimated where it is.
    """
    return dict(_made_with(parameters, stage, method))


@lru_cache(maxsize=200)  # each data set of the catalog asks, with few different arguments
def _made_with(parameters: Parameters, stage: str, method: str | None) -> Mapping[str, object]:
    artifact = Artifact(_flat(parameters), stage, method)

    def is_kept(field: FieldInfo, value: object) -> bool:
        return matters(field, value, artifact)

    return dict(_leaves(parameters, _sections(artifact), is_kept))


def _sections(artifact: Artifact) -> list[str]:
    sections = [*STAGES[artifact.stage], "beta"]  # beta matters to the methods that use it only
    if artifact.method is not None:
        sections += METHODS[artifact.method].sections
    brought = [
        name
        for section in sections
        for item in Parameters.model_fields[section].metadata
        if isinstance(item, Brings)
        for name in item.sections(artifact)
    ]
    return list(dict.fromkeys([*sections, *brought]))


@lru_cache(maxsize=10)
def _flat(parameters: Parameters) -> Mapping[str, object]:
    """Every option but the neutral ones."""

    def is_kept(field: FieldInfo, value: object) -> bool:
        return NEUTRAL not in field.metadata

    return dict(_leaves(parameters, Parameters.model_fields, is_kept))


def _leaves(
    options: Options,
    names: Iterable[str],
    is_kept: Callable[[FieldInfo, object], bool],
    prefix: str = "",
) -> Iterator[tuple[str, object]]:
    for name in names:
        value = getattr(options, name)
        if not is_kept(type(options).model_fields[name], value):
            continue
        if isinstance(value, Options):
            yield from _leaves(value, type(value).model_fields, is_kept, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def run_folder(
    final: Parameters, configured: Parameters, stage: str, method: str | None = None
) -> str:
    """The folder name of a run, such as `beta_0.1-seed_0-training.num_steps_100`.

    Args:
        final: parameters with the run-time overrides.
        configured: parameters as the configuration files give them.
        stage: one of `STAGES`.
        method: as in `made_with`.
    """
    configured = configured.model_copy(update={"beta": final.beta})
    asked = made_with(final, stage, method)
    usual = made_with(configured, stage, method)
    here = _flat(final)
    there = _flat(configured)
    parts = [_spell(name, asked[name]) for name in ("beta", "seed") if name in asked]
    # A parameter set back to a value that makes no difference (such as pretrained: null) is an
    # override too.
    overrides = [
        _spell(name, here.get(name))
        for name in sorted({*asked, *usual} - {"beta", "seed", "benchmark"})
        if here.get(name) != there.get(name)
    ]
    tag = "-".join([*parts, *overrides]) or NOTHING_GIVEN
    if len(tag) > LONGEST_TAG or not tag.isascii():
        tag = "-".join([*parts, "overrides_" + hashlib.sha256(tag.encode()).hexdigest()[:12]])
    return tag


def _spell(name: str, value: object) -> str:
    if isinstance(value, float):
        text = format(value, ".15g")
    elif isinstance(value, list):
        text = "_".join(str(item) for item in value)
    else:
        text = str(value)
    return f"{name}_{text}".replace("/", "_").replace("\\", "_").replace(" ", "")


def differences(made: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    """A line for each parameter whose value differs; one that is missing counts as None.

    Args:
        made: what an artifact was made with, as read from JSON.
        asked: `made_with` now.
    """
    # JSON has no tuples and spells 1.0 as it likes: equality of values is what counts.
    return [
        f"{name}: made with {made.get(name)!r}, now {asked.get(name)!r}"
        for name in sorted({*made, *asked})
        if made.get(name) != asked.get(name)
    ]
