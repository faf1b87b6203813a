"""The config loader: catalog paths are made from the final parameters (environment and --params merged).

In a catalog, `${benchmark:}` is the benchmark's name and `${run:STAGE}` or `${run:STAGE,METHOD}` the run's folder name
(see `identity.run_folder`). An entry named `{method}.<artifact>` becomes one entry for each method; in its path
`{model}`, `{samples}` and `{metrics}` are the folder names of that method's run. It is a loader, not a hook, because
kedro-viz runs without the project's hooks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import run_folder
from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.parameters import Parameters, load_parameters

OF_METHOD = ("model", "samples", "metrics")  # stages with a folder for each run of each method
RunFolders = Callable[..., str]


class ProjectConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose catalog sees the final parameters."""

    def __getitem__(self, key: str) -> Any:
        """Configuration of a kind: `parameters`, `catalog`, ..."""
        if key != "catalog":
            return super().__getitem__(key)
        run = self._run_folders()
        entries: dict[str, Any] = {}
        for name, entry in super().__getitem__(key).items():
            entries |= _for_each_method(name, entry, run) if "{method}" in name else {name: entry}
        return entries

    def checked_parameters(self) -> Parameters:
        """The final parameters.

        Raises:
            InvalidInput: unknown benchmark, unknown or out-of-range parameters.
        """
        try:
            return load_parameters(super().__getitem__("parameters"))
        except MissingConfigException as error:
            known = sorted(path.parent.name for path in Path(self.conf_source).glob("*/parameters.yml"))
            raise InvalidInput(f"--env: no benchmark {self.env!r}; there are {', '.join(known)}") from error

    def _run_folders(self) -> RunFolders:
        final = self.checked_parameters()
        overrides, self.runtime_params = self.runtime_params, {}
        try:
            configured = self.checked_parameters() if overrides else final
        finally:
            self.runtime_params = overrides

        def run(stage: str, method: str | None = None) -> str:
            return run_folder(final, configured, stage, method)

        # Process-wide, so they are registered anew for each catalog.
        OmegaConf.register_new_resolver("benchmark", lambda: final.benchmark, replace=True)
        OmegaConf.register_new_resolver("run", run, replace=True)
        return run


def _for_each_method(name: str, entry: dict[str, Any], run: RunFolders) -> dict[str, Any]:
    path = entry["filepath"]
    return {
        name.format(method=method): {
            **entry,
            "filepath": path.format(method=method, **{stage: run(stage, method) for stage in OF_METHOD}),
        }
        for method, facts in METHODS.items()
        if facts.trains or "{model}" not in path
    }
