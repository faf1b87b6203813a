"""Whatever a model folder holds: it is loaded, or refused in one message; it never runs code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hostile_models as hostile
from hostile_models import load, write_model
from pu_diffusion_pipeline.diffusion import weight_files
from pu_diffusion_pipeline.errors import InvalidInput

MOST_GROWTH = 200e6  # bytes; a model of this size takes a few


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """In the working directory, from which foreign code could be imported."""
    write_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    hostile.foreign_module(tmp_path / "model")
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidInput) as refused:
        load(folder)
    return str(refused.value)


def check_refusal(message: str, words: tuple[str, ...]) -> None:
    """One short line that names what is wrong."""
    assert message.startswith("pretrained: ")
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert len(message) < 600


ALL = {**hostile.BOMBS, **hostile.BROKEN, **hostile.FOREIGN}


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_folder_is_refused_in_one_line_naming_file_and_field(folder, name):
    ALL[name].spoil(folder)
    before = torch.get_rng_state()
    check_refusal(refusal(folder), ALL[name].words)
    assert not hostile.CANARY.exists()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", hostile.IGNORED)
def test_code_that_a_folder_names_is_not_imported(folder, name):
    hostile.IGNORED[name].spoil(folder)
    load(folder)
    assert not hostile.CANARY.exists()
    assert "evil" not in sys.modules


def test_the_canaries_would_sing(folder):
    import evil  # noqa: F401

    assert hostile.CANARY.exists()
    hostile.CANARY.unlink()
    hostile.FOREIGN["a pickle with a command"].spoil(folder)
    torch.load(folder / hostile.PICKLE, weights_only=False)
    assert hostile.CANARY.exists()
    sys.modules.pop("evil")


BOMB_SCRIPT = """
import resource, sys
from pathlib import Path
import hostile_models as hostile
from hostile_models import load, write_model
from pu_diffusion_pipeline.errors import InvalidInput

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

write_model(Path("sound"))
load(Path("sound"))
for number, (name, bomb) in enumerate(hostile.BOMBS.items()):
    folder = Path(f"bomb{number}")
    write_model(folder)
    bomb.spoil(folder)
    before = peak()
    try:
        load(folder)
    except InvalidInput:
        print(peak() - before, name)
"""


@pytest.mark.slow
def test_bombs_are_refused_before_they_take_memory(tmp_path):
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", BOMB_SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    grown = {name: int(size) * 1024 for size, name in map(split, done.stdout.splitlines())}
    assert list(grown) == list(hostile.BOMBS)
    assert max(grown.values()) < MOST_GROWTH, grown


def split(line: str) -> list[str]:
    return line.split(" ", 1)


def test_weights_that_memory_does_not_hold_are_refused_with_the_figures(folder, monkeypatch):
    monkeypatch.setattr(weight_files, "free_memory", lambda device: 10**5)
    assert "need 168 kB of memory, 100 kB are free" in refusal(folder)


@pytest.mark.parametrize("file", [hostile.UNET, hostile.SAFE])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(folder, file):
    (folder / file).unlink()
    os.mkfifo(folder / file)
    assert ("is missing" if file == hostile.UNET else "no weights") in refusal(folder)
