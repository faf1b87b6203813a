"""A disk that fills up while a training runs: a real small file system, and a limit on file sizes.

What a training writes on its way is worth less than the training: it goes on without.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pu_diffusion_pipeline
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from pu_diffusion_pipeline.training.train import Trained
from tiny_training import NUM_STEPS, train, weights


class Weighed(CheckpointStore):
    """A store that remembers how large each state was."""

    sizes: dict[int, int]

    def save(self, state) -> None:
        super().save(state)
        path = self.folder / f"step_{state['step']:08d}.pt"
        self.sizes[state["step"]] = path.stat().st_size


@pytest.fixture(scope="module")
def sizes() -> dict[int, int]:
    """The bytes of each state, by its step; filled by `whole_run`."""
    return {}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, sizes) -> Trained:
    """The training with room enough."""
    store = Weighed(tmp_path_factory.mktemp("room"))
    store.sizes = sizes
    return train(store=store)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_nothing_fits(disk, whole_run, caplog):
    folder = disk(1)
    trained = train(store=CheckpointStore(folder))
    assert torch.equal(weights(trained), weights(whole_run))
    assert told(caplog) == [
        f"The checkpoint of step {step} could not be written (No space left on device); "
        "training goes on. Last good checkpoint: none"
        for step in (2, 4, 6, 8)
    ]
    assert list(folder.iterdir()) == []


def test_one_state_fits_and_the_second_does_not(disk, whole_run, sizes, caplog):
    folder = disk(sizes[2], more=2)
    trained = train(store=CheckpointStore(folder))
    assert torch.equal(weights(trained), weights(whole_run))
    assert told(caplog) == [
        f"The checkpoint of step {step} could not be written (No space left on device); "
        f"training goes on. Last good checkpoint: step 2 in {folder}"
        for step in (4, 6, 8)
    ]
    assert names(folder) == ["step_00000002.pt", "step_00000002.sha256"]
    resumed = train(store=CheckpointStore(folder))
    assert torch.equal(weights(resumed), weights(whole_run))


def test_a_state_fits_and_its_digest_does_not(disk, whole_run, sizes, caplog):
    folder = disk(sizes[2])
    trained = train(store=CheckpointStore(folder))
    assert torch.equal(weights(trained), weights(whole_run))
    assert told(caplog) == [
        f"The checkpoint of step {step} could not be written (No space left on device); "
        "training goes on. Last good checkpoint: none"
        for step in (2, 4, 6)
    ]
    finished = f"step_{NUM_STEPS:08d}"  # smaller: it has no optimizer
    assert names(folder) == [f"{finished}.pt", f"{finished}.sha256"]


LIMITED = """
import json, logging, resource, sys
from pathlib import Path
from pu_diffusion_pipeline.training.checkpoints import CheckpointStore
from tiny_training import train, weights
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
logging.basicConfig(format="%(levelname)s %(message)s")
trained = train(store=CheckpointStore(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
Path(sys.argv[3]).write_text(json.dumps(weights(trained).tolist()))
"""


@pytest.mark.parametrize(
    "share", [pytest.param(share, marks=pytest.mark.slow) for share in (0.01, 0.999)]
)
def test_a_state_that_is_larger_than_a_file_may_be(tmp_path, whole_run, sizes, share):
    """Where no file system can be mounted; a FAT file system or `ulimit -f` says the same."""
    script, folder, result = (tmp_path / name for name in ("script.py", "states", "weights.json"))
    script.write_text(LIMITED)
    paths = [str(Path(pu_diffusion_pipeline.__file__).parents[1]), str(Path(__file__).parents[1])]
    threads = str(torch.get_num_threads())
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": threads}
    command = [sys.executable, script, folder, str(int(share * min(sizes.values()))), result]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert torch.equal(torch.tensor(json.loads(result.read_text())), weights(whole_run))
    warnings = [line for line in ended.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == NUM_STEPS // 2
    assert all("(File too large); training goes on" in line for line in warnings)
    assert list(folder.iterdir()) == []
