"""The `kedro run` commands that make a run: one spelling for messages, reports and reproduction."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import yaml

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS

if TYPE_CHECKING:  # the config loader imports this module, and pandas takes its time
    import pandas as pd

DEFAULT_BENCHMARK = "digits_even"
# Text that needs no quotes in --params, if YAML reads it as text.
PLAIN = re.compile(r"[\w./+@~-]+")


def pipelines_of(method: str) -> list[str]:
    """The pipelines that train, sample and evaluate a method."""
    stages = ["train", "sample", "evaluate"] if METHODS[method].trains else ["sample", "evaluate"]
    return [f"{stage}_{method}" for stage in stages]


def kedro_run(
    benchmark: str, pipelines: Sequence[str], parameters: Mapping[str, object]
) -> list[str]:
    """Arguments of `kedro run`.

    Args:
        benchmark: the environment; `DEFAULT_BENCHMARK` needs none.
        pipelines: their names; none: the whole run.
        parameters: overrides, nested or flat.
    """
    arguments = ["run"]
    if benchmark != DEFAULT_BENCHMARK:
        arguments.append(f"--env={benchmark}")
    if pipelines:
        arguments.append(f"--pipelines={','.join(pipelines)}")
    if parameters:
        given = [f"{name}:{_spell(value)}" for name, value in flat(parameters).items()]
        arguments.append(f"--params={','.join(given)}")
    return arguments


def typed(arguments: Sequence[str]) -> str:
    """A command of `kedro` as one types it."""
    return shlex.join(["kedro", *arguments])


def missing_commands(
    runs: "pd.DataFrame", comparable: Mapping[str, Mapping[str, object]]
) -> dict[tuple[str, int], str]:
    """Method and seed of each run that a full table still needs, to the command that makes it.

    A full table has every default method, and the pre-trained model if there is one, with every
    seed that some run has.

    Args:
        runs: `runs.select_runs`.
        comparable: method to the flat parameters that its metrics depend on.
    """
    from pu_diffusion_pipeline.reports.runs import missing_runs

    pretrained = ["pretrained"] if comparable["pu"].get("pretrained") else []
    methods = [*pretrained, *DEFAULT_METHODS]
    seeds = sorted(set(runs["seed"]))
    commands = {}
    for method, seed in missing_runs(runs, methods, seeds, comparable["pu"]["beta"]):
        asked = comparable[method]
        given = {"seed": seed, **({"beta": asked["beta"]} if "beta" in asked else {})}
        arguments = kedro_run(str(asked["benchmark"]), pipelines_of(method), given)
        commands[method, seed] = typed(arguments)
    return commands


def missing_lines(
    missing: Mapping[tuple[str, int], str], comparable: Mapping[str, Mapping[str, object]]
) -> list[str]:
    """Two lines on the missing runs, however many there are; none if none is missing.

    Args:
        missing: `missing_commands`.
        comparable: as for `missing_commands`.
    """
    if not missing:
        return []
    seeds: dict[str, list[int]] = {}
    for method, seed in missing:
        seeds.setdefault(method, []).append(seed)
    named = [f"{method} with seed {_spans(given)}" for method, given in seeds.items()]
    (first, *others) = missing.values()
    command = _sweep(seeds, comparable) if others else first
    return [
        f"Missing for a full table: {', '.join(named)}",
        f"Made by: {command} (and the other --params)",
    ]


def _sweep(
    seeds: Mapping[str, Sequence[int]], comparable: Mapping[str, Mapping[str, object]]
) -> str:
    """The sweep that makes the missing runs of each method; it passes over those that are there."""
    every = sorted({seed for given in seeds.values() for seed in given})
    (benchmark,) = {str(comparable[method]["benchmark"]) for method in seeds}
    betas = {_spell(comparable[method]["beta"]) for method in seeds if "beta" in comparable[method]}
    return " ".join(
        [
            "kedro sweep",
            *([f"--env={benchmark}"] if benchmark != DEFAULT_BENCHMARK else []),
            f"--methods={','.join(seeds)} --seeds={_spans(every)}",
            *(f"--betas={beta}" for beta in betas),
        ]
    )


def _spans(seeds: Sequence[int]) -> str:
    """Rising numbers as `0-4,7`."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and spans[-1][-1] == seed - 1:
            spans[-1][1:] = [seed]
        else:
            spans.append([seed])
    return ",".join("-".join(map(str, span)) for span in spans)


def flat(parameters: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """`{"a": {"b": 1}}` to `{"a.b": 1}`."""
    found: dict[str, object] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _spell(value: object) -> str:
    """As YAML reads it: null, true and lists are spelled as in JSON; other text gets quotes."""
    if not isinstance(value, str):
        return json.dumps(value, separators=(",", ":"))
    if PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
