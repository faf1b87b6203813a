"""Checks before any work: parameters, inputs that must be there, folders that must be writable."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from pu_diffusion_pipeline.errors import InvalidInput

log = logging.getLogger(__name__)


class CheckParameters:
    """Refuses unknown and out-of-range parameters."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check the whole of parameters.yml with the run-time overrides."""
        context.config_loader.checked_parameters()


class CheckFiles:
    """Refuses a run whose inputs are not there or whose outputs cannot be written."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check the pipeline's free inputs and the folders of its outputs."""
        missing = [name for name in sorted(pipeline.inputs()) if not _is_parameter(name) and not catalog.exists(name)]
        if missing:
            lines = [f"  {name} ({_path(catalog, name)}): made by {_maker(name)}" for name in missing]
            raise InvalidInput("These are not there yet:\n" + "\n".join(lines))
        for name in sorted(pipeline.all_outputs()):
            if path := _path(catalog, name):
                _check_writable(path)


class NameNodes:
    """Says which node runs, with its namespace: kedro's own lines list every input and output instead."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Count the nodes."""
        self._total, self._begun = len(pipeline.nodes), 0

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Name the node."""
        self._begun += 1
        log.info("[%d/%d] %s", self._begun, self._total, node.name)


def _is_parameter(name: str) -> bool:
    return name == "parameters" or name.startswith("params:")


def _path(catalog: DataCatalog, name: str) -> Path | None:
    path = getattr(catalog.get(name), "_filepath", None)
    return None if path is None else Path(path)


def _maker(name: str) -> str:
    """The command that makes a data set: the smallest registered pipeline that has it among its outputs."""
    from kedro.framework.project import pipelines

    pipelines.set_requested(None)
    makers = {key: value for key, value in pipelines.items() if name in value.all_outputs()}
    if not makers:
        return "no pipeline of this project"
    return f"kedro run --pipeline={min(makers, key=lambda key: len(makers[key].nodes))} (same --env and --params)"


def _check_writable(path: Path) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {folder}: {error.strerror}") from error
