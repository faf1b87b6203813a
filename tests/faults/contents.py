"""What lies under a project's `data/`, to be compared."""

import hashlib
from pathlib import Path

import torch


def contents(project: Path) -> dict[str, str]:
    """Path of each file, relative to `data/`, to its digest: of its bytes, but for two kinds.

    Of a lock it counts that it is there. Of a checkpoint the values count: a resumed training
    has read some of its strings from a file, and pickle then spells equal values otherwise.
    """
    data = project / "data"
    files = sorted(path for path in data.rglob("*") if path.is_file())
    return {path.relative_to(data).as_posix(): _digest(path) for path in files}


def without_older_states(found: dict[str, str]) -> dict[str, str]:
    """The contents but for all checkpoints of each training except its last.

    A training goes on when the disk has no room for one of them.
    """
    states = [Path(path) for path in found if path.endswith(".pt")]
    last = {
        folder: max(path for path in states if path.parent == folder)
        for folder in {path.parent for path in states}
    }
    older = {
        path.with_suffix(suffix).as_posix()
        for path in states
        if path != last[path.parent]
        for suffix in (".pt", ".sha256")
    }
    return {path: digest for path, digest in found.items() if path not in older}


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """The paths that are missing, new or changed."""
    paths = sorted(expected.keys() | found.keys())
    return [path for path in paths if expected.get(path) != found.get(path)]


def _digest(path: Path) -> str:
    if path.name == ".lock":
        return ""
    if path.suffix == ".sha256":
        state = path.with_suffix(".pt")
        return str(state.is_file() and path.read_text() == _sha256(state.read_bytes()))
    if path.suffix == ".pt":
        return _sha256(spelled(torch.load(path, weights_only=True)).encode())
    return _sha256(path.read_bytes())


def spelled(value: object) -> str:
    """The same text for equal values, tensors bit by bit."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{tuple(value.shape)}{_sha256(value.numpy().tobytes())}"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{spelled(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(spelled, value))}]"
    return repr(value)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
