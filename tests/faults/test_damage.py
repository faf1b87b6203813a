"""Every artifact of the catalog is damaged in four ways: refused by name, or harmless.

The list is made from the catalog: a new artifact is attacked without a new test.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.contents import contents, differences
from faults.injection import REPO, run
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.digests import digest_of_path
from pu_diffusion_pipeline.pipeline_registry import register_pipelines


class Artifact(NamedTuple):
    """A data set on disk, and the nodes that read it."""

    name: str
    path: str
    readers: list[str]


def artifacts() -> list[Artifact]:
    """What `kedro run --env=test` saves."""
    catalog = open_loader(REPO / "conf", "test", {})["catalog"]
    nodes = register_pipelines()["__default__"].nodes
    saved = {name for node in nodes for name in node.outputs}
    return [
        Artifact(
            name,
            catalog[name]["filepath"],
            [node.name for node in nodes if name in node.inputs],
        )
        for name in sorted(saved & catalog.keys())
    ]


def files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file())
    pictures = [path.with_suffix(".svg")] if path.suffix == ".png" else []  # of one figure
    return [path, *pictures]


def cut(path: Path) -> None:
    for file in files_of(path):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(path: Path) -> None:
    for file in files_of(path):
        file.write_bytes(b"")


def edit(path: Path) -> None:
    """Change one digit, or else one byte, in the middle of the largest file; give one to none."""
    file = max(files_of(path), key=lambda one: one.stat().st_size)
    data = bytearray(file.read_bytes()) or bytearray(b" ")  # a section that says nothing
    middle = len(data) // 2
    places = [*range(middle, len(data)), *range(middle)]
    digits = (one for one in places if chr(data[one]).isdigit())
    place = next(digits, middle)
    data[place] = ord("7") if data[place] != ord("7") else ord("3")
    file.write_bytes(bytes(data))


def swap(path: Path) -> None:
    """Put another artifact of the same form there, if there is one from another method."""
    data = next(parent for parent in path.parents if parent.name == "data")
    others = [
        other
        for other in (data.parent / one.path for one in artifacts())
        if other.is_dir() == path.is_dir() and other.suffix == path.suffix
        if digest_of_path(other) != digest_of_path(path)
    ]
    source = min(others, key=lambda other: (other.name != path.name, str(other)))
    if path.is_dir():
        shutil.rmtree(path)
        shutil.copytree(source, path)
    else:
        shutil.copy(source, path)


DAMAGES: list[Callable[[Path], None]] = [cut, empty, edit, swap]


def attack(project: Path, artifact: Artifact, damage: Callable[[Path], None]) -> str | None:
    """What is wrong with what the readers say of a damaged artifact; None: refused, or harmless."""
    path = project / artifact.path
    shutil.copytree(project / "data", project / "kept", symlinks=True)
    before = contents(project)
    damage(path)
    ended = run(project, f"--nodes={','.join(artifact.readers)}")
    changed = differences(before, contents(project))
    shutil.rmtree(project / "data")
    (project / "kept").rename(project / "data")
    if ended.code == 0:
        own = Path(artifact.path).relative_to("data").as_posix()
        others = [one for one in changed if not one.startswith(own)]
        return f"was used: {others}" if others else None
    message = ended.output[ended.output.index("Error: ") :].strip()
    if "Traceback" in ended.output or len(message.splitlines()) > 6:
        return f"no short message: {message}"
    # A figure's pictures have one name and several suffixes.
    is_named = artifact.name in message or artifact.path.removesuffix(".png") in message
    return None if is_named else f"not named: {message}"


def read_artifacts() -> list[Artifact]:
    return [one for one in artifacts() if one.readers]


def test_every_artifact_that_is_read_is_in_the_list():
    names = {one.name for one in read_artifacts()}
    assert {"unlabeled_images", "pu.model", "pu.samples", "beta", "judge", "pu.metrics"} <= names


@pytest.mark.parametrize("damage", DAMAGES)
def test_some_damaged_artifacts_are_refused_by_name(project, damage):
    drawn = random.Random(damage.__name__).sample(read_artifacts(), 1)
    assert [attack(project, one, damage) for one in drawn] == [None]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("artifact", read_artifacts(), ids=lambda one: one.name)
def test_every_damaged_artifact_is_refused_by_name(project, artifact, damage):
    assert attack(project, artifact, damage) is None
