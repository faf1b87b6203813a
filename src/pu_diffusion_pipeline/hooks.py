"""What happens around the nodes: refusals before the first one, and provenance."""

import logging
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from pu_diffusion_pipeline.atomic_write import sweep
from pu_diffusion_pipeline.datasets.figures import FigureDataset
from pu_diffusion_pipeline.datasets.files import RecordDataset
from pu_diffusion_pipeline.datasets.work_folders import RunRecordsDataset, WorkFolderDataset
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import (
    SUFFIX,
    Claim,
    forget,
    refuse_changed,
    refuse_others,
    remember,
)
from pu_diffusion_pipeline.experiment.identity import made_with
from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.experiment.requirements import refuse_missing_device, refuse_unmet
from pu_diffusion_pipeline.experiment.software import software

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
        paths = [path_of(catalog, name) for name in pipeline.datasets()]
        for folder in {path.parent for path in paths if path is not None}:
            sweep(folder)
        missing = [name for name in sorted(pipeline.inputs()) if _is_missing(catalog, name)]
        if missing:
            lines = [f"  {name} ({path_of(catalog, name)}): {_way_to(name)}" for name in missing]
            raise InvalidInput("These are not there yet:\n" + "\n".join(lines))
        for name in sorted(pipeline.all_outputs()):
            if path := path_of(catalog, name):
                _check_writable(path)


class Provenance:
    """Writes down what artifacts are made with, and refuses those made with something else.

    Each run folder is claimed by its stage's parameters (`experiment/claims.py`) and locked while a
    node writes to it or reads from it (`experiment/locks.py`). The claim holds a digest of each
    artifact, compared when it is read. Records and whatever has a manifest also carry their
    parameters and the software that made them.
    """

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep the parameters."""
        self._parameters: Parameters = context.config_loader.final_parameters()

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog, conf_catalog: dict[str, Any]) -> None:
        """Find each data set's claim."""
        self._catalog = catalog
        self._locks: dict[str, ExitStack] = defaultdict(ExitStack)
        self._unsaved: dict[str, set[str]] = {}
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
        self._refuse_others({self._claims[one].path for one in self._claimed(pipeline.datasets())})

    def _refuse_others(self, touched: set[Path]) -> None:
        """Refuse claims of these paths, where other parameters have made one of their artifacts."""
        held = {
            claim.path: claim
            for name, claim in self._claims.items()
            if claim.path in touched and self._catalog.exists(name)
        }
        refuse_others(held.values())

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Lock the folders that the node writes to, and claim them."""
        outputs = self._claimed(node.outputs)
        self._unsaved[node.name] = set(outputs)
        claims = {self._claims[name].path: self._claims[name] for name in outputs}
        for folder in sorted({claim.folder for claim in claims.values()}):
            self._lock(node.name, folder, is_shared=False)
        self._refuse_others(set(claims))  # another run may have claimed them meanwhile
        for claim in claims.values():
            claim.take()

    def _lock(self, key: str, folder: Path, *, is_shared: bool) -> None:
        policy = self._parameters.folder_locks
        self._locks[key].enter_context(hold(folder, policy, is_shared=is_shared))

    def _unlock(self, key: str) -> None:
        self._locks.pop(key, ExitStack()).close()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Add what it was made with to a record or a manifest."""
        if dataset_name not in self._claims:
            return
        claim = self._claims[dataset_name]
        for artifact in self._artifacts(dataset_name):
            forget(claim.path, artifact)
        is_record = isinstance(self._catalog.get(dataset_name), RecordDataset)
        record = data if is_record else getattr(data, "manifest", None)
        if record is not None:
            record["settings"] = claim.made_with
            record.update(software())

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note its digest; after the node's last one, let others in."""
        if dataset_name not in self._claims:
            return
        for artifact in self._artifacts(dataset_name):
            remember(self._claims[dataset_name].path, artifact)
        self._unsaved[node.name].discard(dataset_name)
        if not self._unsaved[node.name]:
            self._unlock(node.name)

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str) -> None:
        """Refuse an artifact that is not what was saved, and let nobody write meanwhile."""
        for name, claim, artifact in self._read_by(dataset_name):
            self._lock(dataset_name, claim.parent, is_shared=True)
            whose = "same" if name == dataset_name else "that run's"
            refuse_changed(claim, artifact, _way_to(name, whose))

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str) -> None:
        """Let others write."""
        self._unlock(dataset_name)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let others in."""
        for key in list(self._locks):
            self._unlock(key)

    def _claimed(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self._claims]

    def _artifacts(self, name: str) -> list[Path]:
        """The files or folders of a data set: one, but for a figure."""
        path = path_of(self._catalog, name)
        assert path is not None
        dataset = self._catalog.get(name)
        return dataset.files if isinstance(dataset, FigureDataset) else [path]

    def _read_by(self, name: str) -> Iterator[tuple[str, Path, Path]]:
        """Name, file of the claim and path of what a data set reads."""
        if name.startswith("params:"):
            return
        dataset = self._catalog.get(name)
        if isinstance(dataset, RunRecordsDataset):
            for path in dataset.files():
                claim = path.with_name(f"{dataset.stage}{SUFFIX}")
                yield f"{path.parts[-3]}.{dataset.artifact}", claim, path
        elif name in self._claims and not isinstance(dataset, WorkFolderDataset):
            for artifact in self._artifacts(name):
                yield name, self._claims[name].path, artifact


def _is_missing(catalog: DataCatalog, name: str) -> bool:
    if name == "parameters" or name.startswith("params:"):
        return False
    return not isinstance(catalog.get(name), WorkFolderDataset) and not catalog.exists(name)


def path_of(catalog: DataCatalog, name: str) -> Path | None:
    """Where a data set is saved; None for one that is not."""
    path = getattr(catalog.get(name), "filepath", None)
    return None if path is None else Path(path)


def _way_to(name: str, whose: str = "same") -> str:
    """The command that makes a data set: the smallest registered pipeline that has it as output.

    Args:
        name: of the data set.
        whose: the options that belong to the command.
    """
    from kedro.framework.project import pipelines

    pipelines.set_requested(None)
    sizes = {
        key: len(pipeline.nodes)
        for key, pipeline in pipelines.items()
        if name in pipeline.all_outputs() and "." not in key
    }
    if not sizes:
        return "made by no pipeline of this project"
    smallest = min(sizes, key=sizes.__getitem__)
    return f"made by kedro run --pipeline={smallest} ({whose} --env and --params)"


def _check_writable(path: Path) -> None:
    folder = path.parent
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {folder}: {error.strerror}") from error
