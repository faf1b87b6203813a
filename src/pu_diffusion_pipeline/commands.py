"""The `kedro run` commands that make a run: one spelling for messages, reports and `kedro reproduce`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pu_diffusion_pipeline.methods import METHODS

DEFAULT_BENCHMARK = "digits_even"


def pipelines_of(method: str) -> list[str]:
    """The pipelines that train, sample and evaluate a method."""
    return ([f"train_{method}"] if METHODS[method].trains else []) + [f"sample_{method}", f"evaluate_{method}"]


def kedro_run(benchmark: str, pipelines: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """Arguments of `kedro run`.

    Args:
        benchmark: the environment; `DEFAULT_BENCHMARK` needs none.
        pipelines: their names.
        parameters: overrides, nested or flat.
    """
    env = [] if benchmark == DEFAULT_BENCHMARK else [f"--env={benchmark}"]
    given = ",".join(f"{name}:{_spell(value)}" for name, value in flat(parameters).items())
    return ["run", *env, f"--pipelines={','.join(pipelines)}", *([f"--params={given}"] if given else [])]


def flat(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` to `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _spell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)  # null, true, lists: as YAML reads them
