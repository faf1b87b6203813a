"""The config loader: typed parameters, and catalog paths made from them.

`loader["parameters"]` gives the sections of parameters.yml as checked option objects, so that a
node input `params:training` is a `TrainingOptions`. `loader["catalog"]` replaces the placeholders
`<benchmark>`, `<method>` and `<run:STAGE>` in the catalog's paths. It is a loader and not a hook,
because kedro-viz runs without the project's hooks (docs/decisions/0007).
"""

import re
import warnings
from collections import UserDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf.errors import OmegaConfBaseException

from pu_diffusion_pipeline.catalog_entries import Entries, expand_catalog
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import flat, kedro_run, typed
from pu_diffusion_pipeline.experiment.configuration_files import first_line, read_mapping
from pu_diffusion_pipeline.experiment.identity import made_with
from pu_diffusion_pipeline.experiment.parameters import (
    BENCHMARK_PATTERN,
    Parameters,
    load_parameters,
)
from pu_diffusion_pipeline.experiment.shared_parameters import INCLUDE, merge_shared
from pu_diffusion_pipeline.reports.origin import Origin

# Of the project, for Kedro (settings.py) and for `open_loader`.
LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    # --params=training.num_steps:9 keeps training's other keys
    "merge_strategy": {"parameters": "soft"},
}
ENDINGS = (".yml", ".yaml", ".json")  # that Kedro reads


class Comparable(UserDict[str, dict[str, object]]):
    """Method to what the metrics of comparable runs are made with (node input `params:comparable`).

    No plain dict, which Kedro would unfold into a parameter for each of its keys.
    """


class ProjectConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose parameters are typed and whose catalog sees their final values."""

    def __init__(
        self, conf_source: str | Path, env: str | None = None, *args: Any, **options: Any
    ) -> None:
        self._checked: set[str] = set()  # kinds of files
        self._final: Parameters | None = None
        self._configured: Parameters | None = None
        self._catalog: Entries | None = None  # as it is in the files
        _check_name(env, Path(conf_source), options.get("base_env"))
        with warnings.catch_warnings():
            _ignore_kedros_use_of_omegaconf()
            super().__init__(conf_source, env, *args, **options)

    def __getitem__(self, key: str) -> Any:
        """Configuration of a kind: `parameters`, `catalog`, ..."""
        if key == "parameters":
            parameters = self.final_parameters()
            shared = {"comparable": comparable(parameters), "origin": self._origin(parameters)}
            return {**dict(parameters), **shared}
        if key == "catalog":
            return self._expanded(*self._raw_catalog())
        return self._read(key)

    def _expanded(self, *names: str) -> Entries:
        """Entries of the catalog, by their names in the files."""
        raw = self._raw_catalog()
        entries = {name: raw[name] for name in names if name in raw}
        return expand_catalog(entries, self.final_parameters(), self.configured_parameters())

    def _raw_catalog(self) -> Entries:
        if self._catalog is None:
            self._catalog = self._read("catalog")
        return self._catalog

    def final_parameters(self) -> Parameters:
        """The parameters with the run-time overrides, read once.

        Raises:
            InvalidInput: unknown benchmark, a folder without parameters, unknown or out-of-range
                parameters, a benchmark that is not called as its folder.
        """
        if self._final is None:
            self._final = self._load_parameters()
        return self._final

    def _load_parameters(self) -> Parameters:
        try:
            parameters = load_parameters(self._read_parameters())
        except MissingConfigException as error:
            raise _unknown(self.env, Path(self.conf_source)) from error
        if self.env is not None and self.env != self.default_run_env:
            self._check_environment(self.env, parameters.benchmark)
        return parameters

    def _check_environment(self, env: str, benchmark: str) -> None:
        folder = Path(self.conf_source) / env
        if not self._files("parameters", folder):
            there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise InvalidInput(
                f"--env={env}: {folder} needs a file parameters.yml, which says what differs from "
                f"conf/{self.base_env}; in it there is {there}"
            )
        if benchmark != env:
            raise InvalidInput(
                f"benchmark must be {env!r}, as its folder {folder} is called, got {benchmark!r}"
            )

    def _origin(self, parameters: Parameters) -> Origin:
        """Where a run comes from: the command, its models, what differs from conf/base."""
        base = self
        if self.env not in (None, self.default_run_env) or self.runtime_params:
            base = ProjectConfigLoader(self.conf_source, **LOADER_ARGS)
        both = (parameters, base.final_parameters())
        here, there = (flat(one.model_dump(mode="json")) for one in both)
        changed = {
            name: (here.get(name), there.get(name))
            for name in {**here, **there}
            if here.get(name) != there.get(name)
        }
        run = kedro_run(parameters.benchmark, [], self.runtime_params or {})
        models = {
            name.removesuffix(".model"): entry["filepath"]
            for name, entry in self._expanded("<method>.model").items()
        }
        return Origin(command=typed(run), models=models, changed=changed)

    def configured_parameters(self) -> Parameters:
        """The parameters as the configuration files give them."""
        if not self.runtime_params:
            return self.final_parameters()
        if self._configured is None:
            plain = ProjectConfigLoader(
                self.conf_source,
                env=self.env,
                base_env=self.base_env,
                default_run_env=self.default_run_env,
                merge_strategy=self.merge_strategy,
            )
            self._configured = plain.final_parameters()
        return self._configured

    def with_parameters(self, parameters: Mapping[str, object]) -> "ProjectConfigLoader":
        """The loader of the same files with other run-time overrides.

        What does not depend on them is read once: a sweep asks for many.
        """
        other = open_loader(Path(self.conf_source), self.env, parameters)
        other._checked = self._checked
        other._catalog = self._raw_catalog()
        other._configured = self.configured_parameters()
        return other

    def _read_parameters(self) -> dict[str, object]:
        """The merged parameters, with the shared files that the benchmark includes."""
        with self._merging("parameters"):
            return self._merge_parameters()

    def _merge_parameters(self) -> dict[str, object]:
        merged = self._read("parameters")
        if INCLUDE not in merged:
            return merged
        conf = Path(self.conf_source)
        folder = str(conf / (self.env or self.default_run_env))
        patterns = self.config_patterns["parameters"]
        own = self.load_and_merge_dir_config(folder, patterns, "parameters", set())
        return merge_shared(merged, own, conf / "shared")

    def _read(self, key: str) -> Any:
        """What the files of a kind hold, merged and resolved.

        Raises:
            InvalidInput: a file cannot be read, or they do not fit together.
        """
        self._check_files(key)
        with warnings.catch_warnings(), self._merging(key):
            _ignore_kedros_use_of_omegaconf()
            return super().__getitem__(key)

    @contextmanager
    def _merging(self, key: str) -> Iterator[None]:
        """Say whose files do not fit together."""
        try:
            yield
        except InvalidInput:
            raise
        except (OmegaConfBaseException, RecursionError, TypeError, ValueError) as error:
            name = getattr(error, "full_key", None) or "they do not fit together"
            where = Path(self.conf_source) / (self.env or self.default_run_env)
            raise InvalidInput(f"{key} of {where}: {name}: {first_line(error)}") from error

    def _check_files(self, key: str) -> None:
        """Read each file of a kind by itself, so that the message on a damaged one can name it."""
        if key in self._checked:
            return
        conf = Path(self.conf_source)
        for folder in dict.fromkeys((self.base_env, self.env or self.default_run_env)):
            for path in self._files(key, conf / folder):
                read_mapping(path)
        self._checked.add(key)

    def _files(self, key: str, folder: Path) -> list[Path]:
        """The files of a kind that Kedro reads: `parameters.yml`, `catalog/training.yml`, ..."""
        return [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix in ENDINGS
            and any(part.startswith(key) for part in path.relative_to(folder).parts)
            and path.is_file()
        ]


def _check_name(env: str | None, conf: Path, base_env: object) -> None:
    """Refuse what can be no benchmark's name."""
    if env is not None and not env.strip():
        raise InvalidInput("--env: expected the name of a folder of conf/, got an empty one")
    if env is not None and (env == base_env or not re.fullmatch(BENCHMARK_PATTERN, env)):
        raise _unknown(env, conf)


def _unknown(env: str | None, conf: Path) -> InvalidInput:
    base = conf / str(LOADER_ARGS["base_env"])
    if not base.is_dir():
        return InvalidInput(f"--conf-source: no configuration in {conf}: no folder {base}")
    return InvalidInput(f"--env: no benchmark {env!r}; there are {', '.join(benchmarks(conf))}")


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
