"""The config loader: typed parameters, and catalog paths made from them.

`loader["parameters"]` gives the sections of parameters.yml as checked option objects, so that a
node input `params:training` is a `TrainingOptions`. `loader["catalog"]` replaces the placeholders
`<benchmark>`, `<method>` and `<run:STAGE>` in the catalog's paths. It is a loader and not a hook,
because kedro-viz runs without the project's hooks (docs/decisions/0007).
"""

import re
import warnings
from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.identity import made_with, run_folder
from pu_diffusion_pipeline.experiment.parameters import Parameters, load_parameters
from pu_diffusion_pipeline.experiment.shared_parameters import INCLUDE, merge_shared

# Of the project, for Kedro (settings.py) and for `open_loader`.
LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    # --params=training.num_steps:9 keeps training's other keys
    "merge_strategy": {"parameters": "soft"},
}
RUN_PLACEHOLDER = re.compile(r"<run:(\w+)(?:,(\w+))?>")


class Comparable(UserDict[str, dict[str, object]]):
    """Method to what the metrics of comparable runs are made with (node input `params:comparable`).

    No plain dict, which Kedro would unfold into a parameter for each of its keys.
    """


class ProjectConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose parameters are typed and whose catalog sees their final values."""

    def __init__(self, *args: Any, **options: Any) -> None:
        with warnings.catch_warnings():
            _ignore_kedros_use_of_omegaconf()
            super().__init__(*args, **options)
        if self.env is not None and not self.env.strip():
            raise InvalidInput("--env: expected the name of a folder of conf/, got an empty one")

    def __getitem__(self, key: str) -> Any:
        """Configuration of a kind: `parameters`, `catalog`, ..."""
        if key == "parameters":
            parameters = self.final_parameters()
            return {**dict(parameters), "comparable": comparable(parameters)}
        if key == "catalog":
            final = self.final_parameters()
            return expand_catalog(self._read(key), final, self.configured_parameters())
        return self._read(key)

    def final_parameters(self) -> Parameters:
        """The parameters with the run-time overrides.

        Raises:
            InvalidInput: unknown benchmark, a folder without parameters, unknown or out-of-range
                parameters, a benchmark that is not called as its folder.
        """
        try:
            parameters = load_parameters(self._read_parameters())
        except MissingConfigException as error:
            known = ", ".join(benchmarks(Path(self.conf_source)))
            raise InvalidInput(f"--env: no benchmark {self.env!r}; there are {known}") from error
        if self.env is not None and self.env != self.default_run_env:
            self._check_environment(self.env, parameters.benchmark)
        return parameters

    def _check_environment(self, env: str, benchmark: str) -> None:
        folder = Path(self.conf_source) / env
        if not any(path.is_file() for path in folder.rglob("parameters*")):
            there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise InvalidInput(
                f"--env={env}: {folder} needs a file parameters.yml, which says what differs from "
                f"conf/{self.base_env}; in it there is {there}"
            )
        if benchmark != env:
            raise InvalidInput(
                f"benchmark must be {env!r}, as its folder {folder} is called, got {benchmark!r}"
            )

    def configured_parameters(self) -> Parameters:
        """The parameters as the configuration files give them."""
        if not self.runtime_params:
            return self.final_parameters()
        plain = ProjectConfigLoader(
            self.conf_source,
            env=self.env,
            base_env=self.base_env,
            default_run_env=self.default_run_env,
            merge_strategy=self.merge_strategy,
        )
        return plain.final_parameters()

    def _read_parameters(self) -> dict[str, object]:
        """The merged parameters, with the shared files that the benchmark includes."""
        merged = self._read("parameters")
        if INCLUDE not in merged:
            return merged
        conf = Path(self.conf_source)
        folder = str(conf / (self.env or self.default_run_env))
        patterns = self.config_patterns["parameters"]
        own = self.load_and_merge_dir_config(folder, patterns, "parameters", set())
        return merge_shared(merged, own, conf / "shared")

    def _read(self, key: str) -> Any:
        with warnings.catch_warnings():
            _ignore_kedros_use_of_omegaconf()
            return super().__getitem__(key)


def _ignore_kedros_use_of_omegaconf() -> None:
    warnings.filterwarnings("ignore", message=r"\s*register_new_resolver\(\) is deprecated")


def open_loader(conf: Path, env: str | None, parameters: Mapping[str, Any]) -> ProjectConfigLoader:
    """The configuration of a run outside a Kedro session.

    Args:
        conf: the configuration folder.
        env: the benchmark's folder in it; None: the default benchmark.
        parameters: run-time overrides, nested.
    """
    return ProjectConfigLoader(str(conf), env=env, runtime_params=dict(parameters), **LOADER_ARGS)


def benchmarks(conf: Path) -> list[str]:
    """The environments that name a benchmark, for messages."""
    folders = {path.parent.name for path in conf.glob("*/parameters.yml")}
    return sorted(folders - {LOADER_ARGS["base_env"]})


def comparable(parameters: Parameters) -> Comparable:
    """What the runs of one table are made with: everything but seed, beta and gamma."""
    return Comparable({name: made_with(parameters, "metrics", name) for name in METHODS})


def expand_catalog(
    catalog: Mapping[str, dict[str, Any]], final: Parameters, configured: Parameters
) -> dict[str, dict[str, Any]]:
    """Replace the placeholders of a catalog.

    An entry named `<method>.<artifact>` becomes one entry for each method. The stage, the method
    and the folder that a path's `<run:...>` stands for go into the entry's metadata as `claim`,
    for `experiment/claims.py`.

    Args:
        catalog: name to entry, as loaded.
        final: the parameters with the run-time overrides.
        configured: the parameters as the configuration files give them.
    """
    expanded = {}
    for name, entry in catalog.items():
        for method in _methods_of(name, entry["filepath"]):
            expanded[name.replace("<method>", method or "")] = {
                **entry,
                **_place(entry, method, final, configured),
            }
    return expanded


def _methods_of(name: str, filepath: str) -> list[str | None]:
    if "<method>" not in name:
        return [None]
    untrained = "<run:model>" not in filepath
    return [method for method, facts in METHODS.items() if facts.trains or untrained]


def _place(
    entry: Mapping[str, Any], method: str | None, final: Parameters, configured: Parameters
) -> dict[str, Any]:
    path = entry["filepath"].replace("<benchmark>", final.benchmark)
    path = path.replace("<method>", method or "")
    found = RUN_PLACEHOLDER.search(path)
    if found is None:
        return {"filepath": path}
    stage = found[1]
    method = found[2] or method
    folder = path[: found.start()] + run_folder(final, configured, stage, method)
    claim = {"stage": stage, "method": method, "path": folder}
    return {
        "filepath": folder + path[found.end() :],
        "metadata": {**entry.get("metadata", {}), "claim": claim},
    }
