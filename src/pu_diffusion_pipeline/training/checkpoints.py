"""Checkpoints of one training: written atomically, checked on reading, claimed by one run.

The folder is claimed before the first step: a run on other data or through other code is refused
there, before any work. Checkpoints are local and disposable; what is shared is the model's
safetensors folder.
"""

import errno
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from pu_diffusion_pipeline.atomic_write import atomic_write, sweep
from pu_diffusion_pipeline.digests import digest_of_file
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.code_identity import differing_modules

log = logging.getLogger(__name__)

KEPT = 2  # the newest two: if the newest is damaged, the run goes on from the one before
MOST_NAMED = 5  # modules in a message
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: more than one file may hold


class State(TypedDict, total=False):
    """What a resumed training needs; of a finished one only the first four and `finished`."""

    step: int
    seconds: float
    history: list[dict[str, float]]
    denoiser: dict[str, Tensor]
    finished: bool
    precision: str
    optimizer: dict[str, object]
    lr_scheduler: dict[str, object]
    ema: dict[str, object]
    scaler: dict[str, object] | None


class CheckpointStore:
    """The checkpoints under one folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def claim(
        self, data_digest: str, code_digests: dict[str, str], beta: float | None = None
    ) -> float | None:
        """Take the folder for a run, or find that it already is this run's.

        A finished training that other code has made is deleted, to be made anew.

        Args:
            data_digest: `TrainingSets.digest`.
            code_digests: `code_identity.running_code`.
            beta: of the training, if it uses any.

        Returns:
            The beta that the training has begun with.

        Raises:
            InvalidInput: it belongs to a run on other data, or to one that other code began.
        """
        path = self.folder / "claim.json"
        if self._paths():
            if self._is_ours(path, data_digest, code_digests):
                self._tidy()
                return _read_claim(path, self.folder).get("beta", beta)
            shutil.rmtree(self.folder)
        claim = {"data_digest": data_digest, "code_digests": code_digests, "beta": beta}
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(claim, indent=1))
        return beta

    def _is_ours(self, path: Path, data_digest: str, code_digests: dict[str, str]) -> bool:
        """Whether the states can be gone on with; False for those that are to be made anew."""
        what = f"The training in {self.folder.parent}"
        made = _read_claim(path, self.folder)
        if made["data_digest"] != data_digest:
            raise InvalidInput(
                f"{what} was made on other images, with other weights of them, or from another "
                f"initial model, than there are now. {_way_out(self.folder)}"
            )
        differing = differing_modules(made["code_digests"], code_digests)
        if not differing:
            return True
        state = self.latest()
        if state is not None and not state["finished"]:
            raise InvalidInput(
                f"{what} was interrupted at step {state['step']} under other code of this package "
                f"({_named(differing)}). Restore that code to go on. {_way_out(self.folder)}"
            )
        log.info(
            "%s was made by other code of this package (%s): training anew", what, _named(differing)
        )
        return False

    def save(self, state: State) -> None:
        """Write `state`, whose `step` names the file, and drop all but the newest two."""
        path = self.folder / f"step_{state['step']:08d}.pt"
        with atomic_write(path) as temporary:
            _write(state, temporary)
            with atomic_write(path.with_suffix(".sha256")) as digest:
                digest.write_text(digest_of_file(temporary))
        self._tidy()

    def _tidy(self) -> None:
        """Delete all but the newest states with their digests, and what killed runs have left."""
        sweep(self.folder)
        kept = self._paths()[-KEPT:]
        for path in self.folder.glob("step_*.*"):
            if path.is_file() and path.with_suffix(".pt") not in kept:
                path.unlink()

    def latest(self) -> State | None:
        """The newest state that is whole, or None; a damaged one is named in a warning.

        Raises:
            InvalidInput: it is whole, but no checkpoint.
        """
        for path in reversed(self._paths()):
            sidecar = path.with_suffix(".sha256")
            if sidecar.is_file() and sidecar.read_bytes() == digest_of_file(path).encode():
                return _read(path)
            log.warning("Checkpoint %s is damaged and is passed over", path)
        return None

    def _paths(self) -> list[Path]:
        return [path for path in sorted(self.folder.glob("step_*.pt")) if path.is_file()]


class OldClaim(TypedDict):
    """What a folder of checkpoints belonged to before beta was written down."""

    data_digest: str
    code_digests: dict[str, str]


class Claim(OldClaim, total=False):
    """What a folder of checkpoints belongs to."""

    beta: float | None


def _read_claim(path: Path, folder: Path) -> Claim:
    if not path.is_file():
        raise InvalidInput(
            f"{folder} holds checkpoints, but no claim.json says of what. {_way_out(folder)}"
        )
    try:
        claim = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged: {error}. {_way_out(folder)}") from error
    is_claim = (
        isinstance(claim, dict) and claim.keys() - {"beta"} == OldClaim.__annotations__.keys()
    )
    if not is_claim or not isinstance(claim["code_digests"], dict):
        raise InvalidInput(
            f"{path} is damaged, or was made by an earlier version of this package. "
            f"{_way_out(folder)}"
        )
    return claim


def _way_out(folder: Path) -> str:
    return f"To start over, delete {folder.parent}."


def _named(modules: list[str]) -> str:
    more = len(modules) - MOST_NAMED
    return ", ".join(modules[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def last_good_checkpoint(store: CheckpointStore | None) -> str:
    """Its step and folder, for messages; `none` if there is none."""
    state = None if store is None else store.latest()
    if store is None or state is None:
        return "none"
    return f"step {state['step']} in {store.folder}"


@contextmanager
def go_on_if_disk_is_full(what: str, step: int, store: CheckpointStore | None) -> Iterator[None]:
    """Warn where the block finds no room on the disk; any other error is raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        log.warning(
            "The %s of step %d could not be written (%s); training goes on. "
            "Last good checkpoint: %s",
            what,
            step,
            error.strerror,
            last_good_checkpoint(store),
        )


def _write(state: State, path: Path) -> None:
    # Given a path, torch's own writer hides why it failed, such as a full disk. Given a file, it
    # still closes its archive after a failure, and raises an error of its own there.
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _read(path: Path) -> State:
    """A state whose digest is right; whoever wrote the digest may have written anything else."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        what = "it cannot be read as tensors and numbers alone, so nothing of it was run"
        raise InvalidInput(f"{path} is no checkpoint: {what}. Delete it.") from error
    if not isinstance(state, dict) or not {"step", "finished"} <= state.keys():
        raise InvalidInput(f"{path} is no checkpoint: it has no step and finished. Delete it.")
    return state
