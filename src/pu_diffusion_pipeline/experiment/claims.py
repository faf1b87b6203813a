"""Claims: a folder under data/ belongs to the parameters it was made with.

Every run folder holds a file `<stage>.claim.json` for each stage that writes there: the stage, the
method and every parameter that its artifacts depend on. A run with other parameters is refused,
naming them; nothing is overwritten by it.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.identity import differences

MOST_LINES = 8  # of a refusal


class Claim(NamedTuple):
    """What the artifacts of one stage in a folder are made with.

    Attributes:
        folder: the run folder.
        stage: one of `identity.STAGES`.
        method: whose artifacts they are; None for those of no method.
        made_with: the flat parameters they depend on (`identity.made_with`).
    """

    folder: Path
    stage: str
    method: str | None
    made_with: dict[str, object]

    @property
    def path(self) -> Path:
        """The file that holds it."""
        return self.folder / f"{self.stage}.claim.json"

    def write(self) -> None:
        """Claim the folder."""
        content = {"stage": self.stage, "method": self.method, "made_with": self.made_with}
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1))

    def recorded(self) -> dict[str, object] | None:
        """The parameters that the folder was claimed with; None if nobody has.

        Raises:
            InvalidInput: the file is damaged.
        """
        if not self.path.is_file():
            return None
        try:
            return json.loads(self.path.read_text())["made_with"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{self.path} is damaged ({error}). Delete {self.folder} and make it anew."
            ) from error

    def differences(self) -> list[str]:
        """A line for each parameter in which the folder differs from this claim."""
        recorded = self.recorded()
        if recorded is None:
            return ["it holds no claim: an earlier version of this package made it"]
        return differences(recorded, self.made_with)


def refuse_others(claims: Iterable[Claim]) -> None:
    """Refuse to read or overwrite folders that were made with other parameters.

    Args:
        claims: of folders that hold artifacts of their stage.

    Raises:
        InvalidInput: naming the folders, the parameters and the two ways out.
    """
    found = [(claim, lines) for claim in claims if (lines := claim.differences())]
    if not found:
        return
    folders = sorted({str(claim.folder) for claim, _ in found})
    lines = list(dict.fromkeys(line for _, differing in found for line in differing))
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]
    first = folders[0]
    subject = (
        f"{len(folders)} folders, such as {first}, were" if len(folders) > 1 else f"{first} was"
    )
    raise InvalidInput(
        f"{subject} made with other parameters:\n" + "\n".join(f"  {line}" for line in lines) + "\n"
        "Restore the value, or make it anew: pass the change with --params (it then gets folders "
        "of its own), or delete what was made: rm -r " + " ".join(folders)
    )
