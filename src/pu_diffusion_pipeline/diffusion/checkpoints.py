"""Resume states of one training run: written atomically, checked on reading, claimed by one set of parameters.

The folder is claimed before the first step: a run with other parameters or other data is refused there, before any
work. Resume states are local and disposable; what is shared is the model's safetensors folder.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from pu_diffusion_pipeline.atomic import replacing
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import check_settings

log = logging.getLogger(__name__)

KEPT = 2  # the newest two: if the newest is damaged, the run goes on from the one before


class CheckpointStore:
    """The resume states under one folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def claim(self, settings: dict[str, Any], data_digest: str, code_digest: str) -> None:
        """Take the folder for a run, or find that it already is this run's.

        Raises:
            InvalidInput: it belongs to a run with other parameters, images or code.
        """
        claim = {"settings": settings, "data_digest": data_digest, "code_digest": code_digest}
        path = self.folder / "claim.json"
        if self._paths() and not path.is_file():
            raise InvalidInput(f"{self.folder} holds resume states, but no claim.json says of what. {self._way_out()}")
        if self._paths():
            made = json.loads(path.read_text())
            what = f"The training in {self.folder.parent}"
            check_settings(made["settings"], settings, what)
            if made["data_digest"] != data_digest:
                raise InvalidInput(
                    f"{what} was made on other images, or from another initial model, than there are now. "
                    f"{self._way_out()}"
                )
            if made["code_digest"] == code_digest:
                return
            state = self.latest()
            if state is not None and not state["finished"]:
                raise InvalidInput(
                    f"{what} was interrupted at step {state['step']} under other code of this package. "
                    f"Restore that code to go on. {self._way_out()}"
                )
            log.info("%s was made by other code of this package: training anew", what)
            shutil.rmtree(self.folder)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(claim, indent=1))

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`, whose `step` names the file, and drop all but the newest two."""
        path = self.folder / f"step_{state['step']:08d}.pt"
        with replacing(path) as temporary:
            _write(state, temporary)
            sha = _sha256(temporary)
        with replacing(path.with_suffix(".sha256")) as temporary:
            temporary.write_text(sha)
        for half in self.folder.glob(".tmp-*"):  # of a process that was killed while writing
            half.unlink()
        for old in self._paths()[:-KEPT]:
            old.unlink()
            old.with_suffix(".sha256").unlink(missing_ok=True)

    def latest(self) -> dict[str, Any] | None:
        """The newest state that is whole, or None; a damaged one is named in a warning."""
        for path in reversed(self._paths()):
            sidecar = path.with_suffix(".sha256")
            if sidecar.is_file() and sidecar.read_text() == _sha256(path):
                return torch.load(path, map_location="cpu", weights_only=True)
            log.warning("Checkpoint %s is damaged and is passed over", path)
        return None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step_*.pt"))

    def _way_out(self) -> str:
        return f"To start over, delete {self.folder.parent}."


def _write(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:  # given a path, torch's own writer hides why it failed, such as a full disk
        torch.save(state, file)


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()
