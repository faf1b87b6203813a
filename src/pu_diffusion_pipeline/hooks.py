"""What happens around the nodes: refusals before the first one, and provenance."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from pu_diffusion_pipeline.atomic_write import sweep
from pu_diffusion_pipeline.datasets.files import RecordDataset
from pu_diffusion_pipeline.datasets.work_folders import WorkFolderDataset
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import Claim, refuse_others
from pu_diffusion_pipeline.experiment.identity import made_with, refuse_differences
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.experiment.requirements import refuse_missing_device, refuse_unmet
from pu_diffusion_pipeline.experiment.software import software
from pu_diffusion_pipeline.images.image_set import ImageSet

log = logging.getLogger(__name__)


class CheckRequirements:
    """Refuses a run whose nodes cannot work with its parameters."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check the parameters and keep them."""
        self._parameters: Parameters = context.config_loader.final_parameters()

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Ask each node's requirement, and whether the machine has the device."""
        refuse_unmet((node.name for node in pipeline.nodes), self._parameters)
        if any(name.startswith("params:compute") for name in pipeline.inputs()):
            refuse_missing_device(self._parameters.compute)


class CheckFiles:
    """Refuses a run whose inputs are not there or whose outputs cannot be written."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Put right what killed runs left; check free inputs and the folders of outputs."""
        paths = [_path(catalog, name) for name in pipeline.datasets()]
        for folder in {path.parent for path in paths if path is not None}:
            sweep(folder)
        missing = [name for name in sorted(pipeline.inputs()) if _is_missing(catalog, name)]
        if missing:
            lines = [f"  {name} ({_path(catalog, name)}): {_way_to(name)}" for name in missing]
            raise InvalidInput("These are not there yet:\n" + "\n".join(lines))
        for name in sorted(pipeline.all_outputs()):
            if path := _path(catalog, name):
                _check_writable(path)


class Provenance:
    """Writes down what artifacts are made with, and refuses those made with something else.

    Each run folder is claimed by its stage's parameters (`experiment/claims.py`). Records and
    whatever has a manifest also carry their parameters and the software that made them.
    """

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep the parameters."""
        self._parameters: Parameters = context.config_loader.final_parameters()

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, conf_catalog: dict[str, Any]) -> None:
        """Find each data set's claim."""
        self._catalog = catalog
        self._claims = {
            name: self._claim(**entry["metadata"]["claim"])
            for name, entry in conf_catalog.items()
            if "claim" in entry.get("metadata", {})
        }

    def _claim(self, stage: str, method: str | None, path: str) -> Claim:
        return Claim(Path(path), stage, method, made_with(self._parameters, stage, method))

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Refuse folders that were made with other parameters, before any work."""
        touched = {self._claims[name].path for name in pipeline.datasets() if name in self._claims}
        held = {
            claim.path: claim
            for name, claim in self._claims.items()
            if claim.path in touched and self._catalog.exists(name)
        }
        refuse_others(held.values())

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Claim the folders that the node writes to."""
        for claim in {
            self._claims[name].path: self._claims[name] for name in self._made_by(node)
        }.values():
            if claim.recorded() != claim.made_with:
                claim.write()

    def _made_by(self, node: Node) -> list[str]:
        return [name for name in node.outputs if name in self._claims]

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Add what it was made with to a record or a manifest."""
        record = self._record(dataset_name, data)
        if record is not None:
            record["settings"] = self._claims[dataset_name].made_with
            record.update(software())

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Refuse an artifact that somebody put there from another run."""
        record = self._record(dataset_name, data)
        if record is None or "settings" not in record:
            return
        claim = self._claims[dataset_name]
        what = f"{dataset_name} ({claim.folder})"
        refuse_differences(record["settings"], claim.made_with, what)
        if isinstance(data, ImageSet):
            data.refuse_others(what)

    def _record(self, name: str, data: Any) -> dict[str, Any] | None:
        if name not in self._claims:
            return None
        if isinstance(self._catalog.get(name), RecordDataset):
            return data
        return getattr(data, "manifest", None)


class NameNodes:
    """Logs which node runs; Kedro's own lines list every input and output instead."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Count the nodes."""
        self._total = len(pipeline.nodes)
        self._begun = 0

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Name the node."""
        self._begun += 1
        log.info("[%d/%d] %s", self._begun, self._total, node.name)


def _is_missing(catalog: DataCatalog, name: str) -> bool:
    if name == "parameters" or name.startswith("params:"):
        return False
    return not isinstance(catalog.get(name), WorkFolderDataset) and not catalog.exists(name)


def _path(catalog: DataCatalog, name: str) -> Path | None:
    path = getattr(catalog.get(name), "filepath", None)
    return None if path is None else Path(path)


def _way_to(name: str) -> str:
    """The command that makes a data set: the smallest registered pipeline that has it as output."""
    from kedro.framework.project import pipelines

    pipelines.set_requested(None)
    sizes = {
        key: len(pipeline.nodes)
        for key, pipeline in pipelines.items()
        if name in pipeline.all_outputs() and "." not in key
    }
    if not sizes:
        return "made by no pipeline of this project"
    return (
        f"made by kedro run --pipeline={min(sizes, key=sizes.__getitem__)} "
        "(same --env and --params)"
    )


def _check_writable(path: Path) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {folder}: {error.strerror}") from error
