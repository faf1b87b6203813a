"""How much memory is free, on a GPU or on the machine, also where a container limits it."""

from pathlib import Path

import psutil
import torch

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
# Of the versions 2 and 1: limit, usage, and in memory.stat the cached files that can be given up.
NAMES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(device: str) -> int | None:
    """Bytes that can still be taken.

    Args:
        device: cuda, mps or cpu. On the CPU, a limit of the process's control groups counts too.

    Returns:
        None for mps: its memory is the machine's, and torch does not say how much of it the GPU may
        take.
    """
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    if device == "mps":
        return None
    return min(psutil.virtual_memory().available, *_below_limits(MEMBERSHIP, CGROUPS))


def in_words(size: int) -> str:
    """A size for messages, such as `310 GB`, `2.5 MB` or `8.2 kB`."""
    units = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    unit = next((unit for unit in units if size >= unit[1]), units[-1])
    number = size / unit[1]
    return f"{number:,.0f} {unit[0]}" if number >= 10 else f"{number:.1f} {unit[0]}"


def _below_limits(membership: Path, root: Path) -> list[int]:
    """What every control group with a limit on memory leaves; a large number comes last."""
    left = [2**63 - 1]
    for folder in _folders(membership, root):
        for limit, usage, reclaimable in NAMES:
            most = _number(folder / limit)
            used = _number(folder / usage)
            if most is not None and used is not None:
                left.append(max(0, most - used + _entry(folder / "memory.stat", reclaimable)))
    return left


def _folders(membership: Path, root: Path) -> list[Path]:
    """The folders of the process's control groups for memory and of the groups around them.

    A container may see its own group as the root.
    """
    if not membership.is_file():
        return []
    folders = []
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = root / controllers
            place = top / path.lstrip("/")
            folders += [one for one in (place, *place.parents) if one.is_relative_to(top)]
    return folders


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none, as in `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _entry(path: Path, name: str) -> int:
    """A line `name number` of memory.stat."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)
