"""Claims: a folder under data/ belongs to the parameters it was made with.

Every run folder holds a file `<stage>.claim.json` for each stage that writes there: the stage, the
method, every parameter that its artifacts depend on, and a digest of each artifact. A run with
other parameters is refused, naming them; nothing is overwritten by it. An artifact that is not what
was saved is refused when it is read.
"""

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypedDict

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.digests import digest_of_path
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.identity import differences

MOST_LINES = 3  # of differences in a refusal
SUFFIX = ".claim.json"


class Recorded(TypedDict):
    """What a claim's file holds.

    Attributes:
        stage: one of `identity.STAGES`.
        method: whose artifacts they are; None for those of no method.
        made_with: the flat parameters they depend on.
        digests: name of each finished artifact in the folder to its sha256.
    """

    stage: str
    method: str | None
    made_with: dict[str, object]
    digests: dict[str, str]


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
        return self.folder / f"{self.stage}{SUFFIX}"

    def take(self) -> None:
        """Claim the folder, unless it is claimed so already."""
        if not self.path.is_file() or self.differences():
            content = Recorded(
                stage=self.stage, method=self.method, made_with=self.made_with, digests={}
            )
            _write(self.path, content)

    def differences(self) -> list[str]:
        """A line for each parameter in which the folder differs from this claim.

        Raises:
            InvalidInput: the file is damaged.
        """
        if not self.path.is_file():
            return ["it holds no claim: an earlier version of this package made it"]
        recorded = _read(self.path)
        method = differences({"method": recorded["method"]}, {"method": self.method})
        return method + differences(recorded["made_with"], self.made_with)


def forget(claim: Path, artifact: Path) -> None:
    """Note that an artifact is about to be written.

    Args:
        claim: the file of its folder's claim.
        artifact: the file or folder.
    """
    recorded = _read(claim)
    if recorded["digests"].pop(artifact.name, None) is not None:
        _write(claim, recorded)


def remember(claim: Path, artifact: Path) -> None:
    """Note the digest of an artifact that is finished; arguments as for `forget`."""
    recorded = _read(claim)
    digests = {**recorded["digests"], artifact.name: digest_of_path(artifact)}
    _write(claim, Recorded(**{**recorded, "digests": dict(sorted(digests.items()))}))


def is_finished(claim: Path, artifact: Path) -> bool:
    """Whether an artifact is there and was saved to its end; arguments as for `forget`."""
    return artifact.exists() and claim.is_file() and artifact.name in _read(claim)["digests"]


def refuse_changed(claim: Path, artifact: Path, way_out: str) -> None:
    """Refuse to read an artifact that is not what was saved there.

    Args:
        claim: the file of its folder's claim.
        artifact: the file or folder.
        way_out: how it is made anew.

    Raises:
        InvalidInput: it was changed, or was never finished.
    """
    made = _read(claim)["digests"].get(artifact.name) if claim.is_file() else None
    if made is None:
        raise InvalidInput(
            f"{artifact} was not finished, or an earlier version of this package made it. It is "
            f"{way_out}."
        )
    if made != digest_of_path(artifact):
        raise InvalidInput(
            f"{artifact} is not what was saved there (its digest is not the one in {claim.name}): "
            f"somebody has changed it, or the disk is damaged. Put it back, or make it anew; it is "
            f"{way_out}."
        )


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
    more = f", {MOST_LINES} folders at a time" if len(folders) > MOST_LINES else ""
    raise InvalidInput(
        f"{subject} made with other parameters:\n" + "\n".join(f"  {line}" for line in lines) + "\n"
        "Restore the value, or make it anew: pass the change with --params (it then gets folders "
        f"of its own), or delete what was made{more}: "
        + shlex.join(["rm", "-r", *folders[:MOST_LINES]])
    )


def _read(path: Path) -> Recorded:
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        return Recorded(
            stage=recorded["stage"],
            method=recorded["method"],
            made_with=dict(recorded["made_with"]),
            digests=dict(recorded.get("digests", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(
            f"{path} is damaged ({error}). Delete {path.parent} and make it anew."
        ) from error


def _write(path: Path, recorded: Recorded) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(recorded, indent=1), encoding="utf-8")
