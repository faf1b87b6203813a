"""The config loader: catalog paths are made from the final parameters (environment and --params merged).

In a catalog, `${benchmark:}` is the benchmark's name and `${run:STAGE}` or `${run:STAGE,METHOD}` the run's folder name
(see `identity.run_folder`). It is a loader, not a hook, because kedro-viz runs without the project's hooks.
"""

from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import run_folder
from pu_diffusion_pipeline.parameters import Parameters, load_parameters


class ProjectConfigLoader(OmegaConfigLoader):
    """OmegaConfigLoader whose catalog sees the final parameters."""

    def __getitem__(self, key: str) -> Any:
        """Configuration of a kind: `parameters`, `catalog`, ..."""
        if key == "catalog":
            self._register_paths()
        return super().__getitem__(key)

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

    def _register_paths(self) -> None:
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
