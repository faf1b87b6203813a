"""Runs in MLflow, where the environment variable MLFLOW_TRACKING_URI says where.

Without it nothing of MLflow is imported. One run of MLflow belongs to a method and a run folder
that was made with certain parameters; `kedro run` makes it or goes on with it.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.config_loader import ProjectConfigLoader
from pu_diffusion_pipeline.datasets.figures import FigureDataset
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.identity import made_with
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.experiment.software import software
from pu_diffusion_pipeline.hooks import path_of
from pu_diffusion_pipeline.metrics.registry import metric_values

if TYPE_CHECKING:
    from mlflow import MlflowClient

VARIABLE = "MLFLOW_TRACKING_URI"
NEEDED = f"{VARIABLE} is set, which needs MLflow: pip install 'pu_diffusion_pipeline[mlflow]'"
HISTORY, METRICS, SECOND_OPINION, MODEL = (
    "training_history",
    "metrics",
    "second_opinion",
    "model",
)
OPENING = (HISTORY, METRICS)  # a pipeline that makes one of them has a run
DIGEST, FOLDER, COMMIT = "pu.digest", "pu.folder", "mlflow.source.git.commit"  # tags
MOST_PARAMETERS, MOST_METRICS = 100, 1000  # that the server takes at once
LONGEST_VALUE = 6000  # characters of a parameter, as the server allows
Item = TypeVar("Item")
log = logging.getLogger(__name__)


class TrackWithMlflow:
    """Sends parameters, curves, metrics, figures and models of a run to MLflow."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the parameters."""
        loader = context.config_loader
        assert isinstance(loader, ProjectConfigLoader)
        self._parameters: Parameters = loader.final_parameters()

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Keep the catalog, which knows the folders."""
        self._catalog = catalog
        self._runs: dict[str, MlflowRun] = {}

    @hook_impl(trylast=True)  # a run that is refused leaves nothing in MLflow
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Open a run for each method that is trained or evaluated."""
        if not os.environ.get(VARIABLE):
            return
        outputs = pipeline.all_outputs()
        made = [name for name in METHODS if outputs & {f"{name}.{one}" for one in OPENING}]
        if made:
            with _refused_in_words():
                client = _open_client()
                self._runs = {name: self._open(client, name) for name in made}

    def _open(self, client: "MlflowClient", method: str) -> "MlflowRun":
        path = path_of(self._catalog, f"{method}.{METRICS}")
        assert path is not None
        folder = "/".join(path.parent.parts[-3:])
        settings = made_with(self._parameters, "metrics", method)
        return MlflowRun.open(client, self._parameters.benchmark, folder, settings)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: object) -> None:
        """Send what was saved, if it is of interest; a failure is a warning."""
        if not self._runs:
            return
        method, _, artifact = dataset_name.partition(".")
        try:
            if method in self._runs:
                self._send(self._runs[method], artifact, data, path_of(self._catalog, dataset_name))
            elif isinstance(figure := self._catalog.get(dataset_name), FigureDataset):
                for run in self._runs.values():
                    run.add_file(figure.filepath.with_suffix(".png"), "figures")
        except _failures() as error:
            log.warning("%s did not reach MLflow: %s", dataset_name, _first_line(error))

    def _send(self, run: "MlflowRun", artifact: str, data: Any, path: Path | None) -> None:
        if artifact == HISTORY:
            run.add_curves(data)
        elif artifact == METRICS:
            run.set_metrics(metric_values(data, counts=True))
        elif artifact == SECOND_OPINION:
            kept = {name: data[name] for name in ("both", "near_labeled_sensitive")}
            run.set_metrics({"second_nsr": data["non_sensitive_rate"], **kept})
        elif artifact == MODEL and path is not None and self._parameters.tracking.mlflow_model:
            run.add_folder(path, MODEL)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the runs."""
        self._close("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the runs as failed."""
        self._close("FAILED")

    def _close(self, status: str) -> None:
        while self._runs:
            name, run = self._runs.popitem()
            try:
                run.close(status)
            except _failures() as error:
                log.warning("the end of %s did not reach MLflow: %s", name, _first_line(error))


class MlflowRun:
    """A run of MLflow that may have been begun earlier: nothing is written into it twice."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client = client
        self._id = run_id

    @classmethod
    def open(
        cls, client: "MlflowClient", benchmark: str, folder: str, settings: Mapping[str, object]
    ) -> "MlflowRun":
        """The run of a folder and its parameters: the one that is there, or a new one.

        Args:
            client: of the server.
            benchmark: the experiment's name.
            folder: `<benchmark>/<method>/<run>`.
            settings: the flat parameters.
        """
        from mlflow.entities import Param

        experiment = client.get_experiment_by_name(benchmark)
        place = experiment.experiment_id if experiment else client.create_experiment(benchmark)
        content = json.dumps([folder, settings], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        there = client.search_runs([place], f"tags.`{DIGEST}` = '{digest}'", max_results=1)
        if there:
            run_id = there[0].info.run_id
            client.update_run(run_id, status="RUNNING")
            return cls(client, run_id)
        commit = software()["git_revision"] or "unknown"
        tags = {DIGEST: digest, FOLDER: folder, COMMIT: str(commit)}
        name = folder.partition("/")[2]
        run_id = client.create_run(place, tags=tags, run_name=name).info.run_id
        flat = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in settings.items()]
        for part in _parts(flat, MOST_PARAMETERS):
            client.log_batch(run_id, params=part)
        return cls(client, run_id)

    def add_curves(self, history: pd.DataFrame) -> None:
        """The rows of a training's history after the last step that is there."""
        from mlflow.entities import Metric

        there = self._client.get_metric_history(self._id, "training.loss")
        last = max((one.step for one in there), default=0)
        now = _milliseconds()
        values = [
            Metric(f"training.{name}", float(value), now, int(row["step"]))
            for row in history[history["step"] > last].to_dict("records")
            for name, value in row.items()
            if name != "step" and not pd.isna(value)
        ]
        for part in _parts(values, MOST_METRICS):
            self._client.log_batch(self._id, metrics=part)

    def set_metrics(self, values: Mapping[str, object]) -> None:
        """The numbers among these values that are not there yet."""
        there = self._client.get_run(self._id).data.metrics
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value) and there.get(name) != value:
                self._client.log_metric(self._id, name, value)

    def add_file(self, path: Path, folder: str) -> None:
        """A file, into a folder of the run's artifacts."""
        self._client.log_artifact(self._id, str(path), folder)

    def add_folder(self, path: Path, folder: str) -> None:
        """All files of a folder, into a folder of the run's artifacts."""
        self._client.log_artifacts(self._id, str(path), folder)

    def close(self, status: str) -> None:
        """Say how it ended."""
        self._client.set_terminated(self._id, status)


def _open_client() -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(os.environ[VARIABLE])


@contextmanager
def _refused_in_words() -> Iterator[None]:
    """Refuse a run whose MLflow is not installed, or is not there."""
    try:
        yield
    except ImportError as error:
        raise InvalidInput(f"{NEEDED} (no module {error.name})") from error
    except _failures() as error:
        raise InvalidInput(f"{VARIABLE} {os.environ[VARIABLE]}: {_first_line(error)}") from error


def _failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when its server or its disk fails."""
    from mlflow.exceptions import MlflowException

    return MlflowException, OSError


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _parts(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _milliseconds() -> int:
    return int(pd.Timestamp.now("UTC").timestamp() * 1000)
