"""MLflow and TensorBoard: what reaches them, and that nobody else imports them."""

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog

from conftest import REPO
from pu_diffusion_pipeline import tracking
from pu_diffusion_pipeline.datasets.figures import FigureDataset
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.options import TrackingOptions
from tiny_training import parameters


def _has_mlflow() -> bool:
    try:
        return int(version("mlflow-skinny").split(".")[0]) >= 3
    except PackageNotFoundError:
        return False


needs_mlflow = pytest.mark.skipif(not _has_mlflow(), reason="mlflow-skinny 3 is not installed")
HISTORY = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, float("nan")]})
RUN = "pu/beta_0.1-seed_0"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    """A data base with MLflow's tables, which take long to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def server(tmp_path, monkeypatch, empty_store) -> str:
    """The address of a data base; artifacts go below the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv(tracking.VARIABLE, uri)
    return uri


@pytest.fixture
def client(server):
    from mlflow import MlflowClient

    return MlflowClient(server)


def runs_of(client, benchmark: str) -> dict:
    place = client.get_experiment_by_name(benchmark).experiment_id
    return {run.info.run_name: run for run in client.search_runs([place])}


def opened(client, **settings) -> tracking.MlflowRun:
    made = {f"training.option_{number}": number for number in range(250)}
    return tracking.MlflowRun.open(client, "b", f"b/{RUN}", {**made, "seed": 0, **settings})


@needs_mlflow
def test_a_run_that_goes_on_has_each_step_and_each_value_once(client):
    opened(client).add_curves(HISTORY[:2])
    again = opened(client)
    again.add_curves(HISTORY)
    for _ in range(2):
        again.set_metrics({"nsr": 0.9, "judge": "lenet", "kid": None})
    again.close("FINISHED")
    (run,) = runs_of(client, "b").values()
    curve = client.get_metric_history(run.info.run_id, "training.loss")
    assert [(point.step, point.value) for point in curve] == [(1, 3.0), (2, 2.0)]
    assert [one.value for one in client.get_metric_history(run.info.run_id, "nsr")] == [0.9]
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == 251


@needs_mlflow
def test_a_folder_made_anew_with_other_parameters_is_another_run(client):
    assert opened(client)._id == opened(client)._id != opened(client, seed=1)._id


@needs_mlflow
def test_a_training_and_its_evaluation_are_one_run_with_everything(client, tmp_path, run):
    run(tmp_path, "train_pu", tracking={"tensorboard": True})
    run(tmp_path, "sample_pu")
    run(tmp_path, "train_classifier")
    run(tmp_path, "evaluate_pu")
    (made,) = runs_of(client, "test").items()
    assert made[0] == RUN
    run_id, data = made[1].info.run_id, made[1].data
    history = pd.read_csv(tmp_path / "data/06_models/test" / RUN / "history.csv")
    curve = client.get_metric_history(run_id, "training.loss")
    assert [one.step for one in curve] == list(history["step"])
    assert [one.value for one in curve] == pytest.approx(list(history["loss"]))
    assert data.params["training.num_steps"] == "6"
    assert {"nsr", "distance", "precision", "recall"} <= set(data.metrics)
    assert [one.path for one in client.list_artifacts(run_id)] == ["model"]
    assert made[1].info.status == "FINISHED"


@needs_mlflow
def test_figures_reach_every_run_and_the_model_only_if_wanted(client, tmp_path):
    from matplotlib.figure import Figure

    hook = tracking.TrackWithMlflow()
    hook._runs = {"pu": opened(client)}
    figure = FigureDataset(filepath=str(tmp_path / "curves.png"))
    figure.save(Figure())
    hook._catalog = DataCatalog({"curves_figure": figure})
    without = TrackingOptions(tensorboard=False, mlflow_model=False)
    hook._parameters = parameters().model_copy(update={"tracking": without})
    hook.after_dataset_saved("curves_figure", Figure())
    hook._send(hook._runs["pu"], "model", None, tmp_path)
    (run,) = runs_of(client, "b").values()
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["figures"]
    files = client.list_artifacts(run.info.run_id, "figures")
    assert [one.path for one in files] == ["figures/curves.png"]


@needs_mlflow
def test_a_server_that_is_gone_is_refused_before_the_run_and_a_warning_in_it(
    client, server, monkeypatch, caplog
):
    hook = tracking.TrackWithMlflow()
    hook._runs = {"pu": opened(client)}
    hook._catalog = {"pu.training_history": None}
    monkeypatch.setattr(client, "log_batch", lambda *_, **__: (_ for _ in ()).throw(OSError("no")))
    with caplog.at_level(logging.WARNING):
        hook.after_dataset_saved("pu.training_history", HISTORY)
    assert "pu.training_history did not reach MLflow: no" in caplog.text
    monkeypatch.setenv(tracking.VARIABLE, "nonsense://x")
    refused = pytest.raises(InvalidInput, match="MLFLOW_TRACKING_URI nonsense://x")
    with refused, tracking._refused_in_words():
        opened(tracking._open_client())


def test_without_mlflow_a_run_is_refused_naming_the_extra(tmp_path, run, monkeypatch):
    monkeypatch.setenv(tracking.VARIABLE, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InvalidInput, match=r"pip install 'pu_diffusion_pipeline\[mlflow\]'"):
        run(tmp_path, "train_pu")
    assert not (tmp_path / "data/06_models").exists()


def test_without_tensorboard_a_training_is_refused_before_the_first_node(
    tmp_path, run, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "pu_diffusion_pipeline.experiment.requirements.find_spec",
        lambda name: None if name == "tensorboard" else find(name),
    )
    with pytest.raises(InvalidInput, match=r"pip install 'pu_diffusion_pipeline\[tensorboard\]'"):
        run(tmp_path, "train_pu", tracking={"tensorboard": True})
    assert list(tmp_path.iterdir()) == []


PLAIN_RUN = """
import sys
from pathlib import Path
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
repo, folder = sys.argv[1:]
bootstrap_project(Path(repo))
create = settings.SESSION_CLASS.create
with create(project_path=folder, conf_source=f"{repo}/conf", env="test") as session:
    session.run(pipeline_names=["train_unsupervised"])
print([name for name in ("mlflow", "tensorboard", "tensorboardX") if name in sys.modules])
"""


def test_a_run_that_does_not_ask_for_them_imports_neither(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != tracking.VARIABLE}
    env["PYTHONPATH"] = str(REPO / "src")
    command = [sys.executable, "-c", PLAIN_RUN, str(REPO), str(tmp_path)]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr[-2000:]
    assert Path(tmp_path / "data/06_models/test/unsupervised/seed_0/history.csv").is_file()
