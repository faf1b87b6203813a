"""Shared by all tests: the project's own configuration, and one thread.

Two runs on two cores only slow each other.
"""

import gc
import os
import secrets

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ["DO_NOT_TRACK"] = "1"  # kedro-telemetry
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
if "RAY_ADDRESS" not in os.environ:  # of clusters that tests start: none in the user's home
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project

from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.session import ExperimentSession

gc.set_threshold(10_000, 20, 20)  # the many objects of the libraries are looked through less often
REPO = Path(__file__).resolve().parents[1]
BENCHMARKS = sorted(
    path.parent.name for path in REPO.glob("conf/*/parameters.yml") if path.parent.name != "base"
)

# They begin first: a long one at the end would leave the other workers of pytest-xdist idle.
LONGEST = [
    REPO / "tests" / name
    for name in (
        *("faults/test_kills.py", "test_notebooks.py", "own_images/test_blind_run.py"),
        *("faults/test_damage.py", "test_run.py", "test_tracking.py", "test_frontier_run.py"),
        *("training/test_run_job.py", "training/test_resuming.py", "training/test_relearning.py"),
        *("test_extensions.py", "training/test_loop.py", "training/test_jobs.py"),
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the rest as it was."""
    assert all(path.is_file() for path in LONGEST)
    items.sort(key=lambda item: item.path not in LONGEST)


def pytest_collection_finish() -> None:
    """What has been imported stays: the garbage collector passes over it from here on."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _project():
    bootstrap_project(REPO)


@pytest.fixture(scope="session")
def ray():
    """Ray, connected once for all tests: its start takes seconds."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    os.environ["PYTHONPATH"] = str(REPO / "src")  # of the workers
    address = os.environ.get("RAY_ADDRESS", "local")
    here = {"num_cpus": 2, "include_dashboard": False} if address == "local" else {}
    ray.init(address=address, log_to_driver=False, logging_level="ERROR", **here)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def session():
    """A function that opens a session on the real configuration, with data under a folder."""

    def open_session(folder: Path, env: str | None = "test", **params) -> ExperimentSession:
        return settings.SESSION_CLASS.create(
            project_path=folder,
            conf_source=str(REPO / "conf"),
            env=env,
            runtime_params=params,
            save_on_close=False,
        )

    return open_session


@pytest.fixture
def run(session):
    """A function that runs a pipeline of the test benchmark, with data under a folder."""

    def run_pipeline(
        folder: Path, pipeline: str = "__default__", env: str = "test", **params
    ) -> None:
        with session(folder, env, **params) as opened, status_below(folder):
            opened.run(pipeline_names=[pipeline])

    return run_pipeline


@contextmanager
def status_below(folder: Path) -> Iterator[None]:
    """What kedro-viz shows of a run stays in the run's folder: a test must not change the user's.

    Its hook writes into the Kedro project that holds the current folder.
    """
    with pytest.MonkeyPatch.context() as patched:
        finder = "kedro_viz.integrations.kedro.hooks_utils._find_kedro_project"
        patched.setattr(finder, lambda _: folder)
        yield


@pytest.fixture(scope="session")
def finished_run(session, tmp_path_factory) -> Path:
    """A folder in which `kedro run --env=test` has run. Tests that change it copy it first.

    The workers of pytest-xdist share it: the first one that asks for it makes it.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, ended = shared / "finished", shared / "finished.ended"
    with hold(shared, "wait", is_shared=False):
        if not ended.exists():
            folder.mkdir(exist_ok=True)
            with session(folder) as opened, status_below(folder):
                opened.run()
            ended.touch()
    return folder


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory) -> str:
    """Random ResNet-34 weights in the format of torchvision's file."""
    import torch
    from torchvision.models import resnet34

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet34.pth"
    torch.save(resnet34().state_dict(), path)
    return str(path)
