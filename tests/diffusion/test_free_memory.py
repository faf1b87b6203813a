"""Free memory: the machine's, or what the limits of control groups leave."""

from pathlib import Path

import psutil
import pytest

from pu_diffusion_pipeline.diffusion import free_memory as module
from pu_diffusion_pipeline.diffusion.free_memory import free_memory, in_words


def cgroup(folder: Path, names: tuple[str, str, str], limit: str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\n")


@pytest.fixture
def groups(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(module, "CGROUPS", tmp_path)
    monkeypatch.setattr(module, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


@pytest.mark.parametrize(
    ("membership", "place", "names"),
    [
        ("0::/a/b\n", "a/b", module.NAMES[0]),
        ("0::/a/b\n", "a", module.NAMES[0]),
        ("0::/\n", ".", module.NAMES[0]),
        ("9:cpu:/x\n4:memory:/a/b\n", "memory/a/b", module.NAMES[1]),
        ("4:memory:/not/seen/here\n", "memory", module.NAMES[1]),
    ],
)
def test_a_limit_of_a_group_or_of_one_around_it_counts(groups, membership, place, names):
    (groups / "membership").write_text(membership)
    cgroup(groups / place, names, "1000000", 700_000, 200_000)
    assert free_memory("cpu") == 500_000


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_without_a_limit_the_machine_counts(groups, limit, monkeypatch):
    (groups / "membership").write_text("0::/a\n")
    cgroup(groups / "a", module.NAMES[0], limit, 10, 0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: psutil._ntp.svmem(*range(11)))
    assert free_memory("cpu") == psutil.virtual_memory().available


def test_a_machine_without_control_groups_has_its_memory(groups):
    assert 0 < free_memory("cpu") <= psutil.virtual_memory().total


def test_mps_does_not_say():
    assert free_memory("mps") is None


def test_sizes_read_well():
    assert [in_words(size) for size in (310 * 10**9, 2_520_000, 36 * 10**6, 10**16)] == [
        "310 GB",
        "2.5 MB",
        "36 MB",
        "10,000,000 GB",
    ]
