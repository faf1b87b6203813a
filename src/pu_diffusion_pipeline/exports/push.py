"""Upload an exported folder to the Hugging Face hub."""

from pathlib import Path
from typing import Protocol

from pu_diffusion_pipeline.diffusion.pretrained import HUB_ID
from pu_diffusion_pipeline.errors import InvalidInput


class Hub(Protocol):
    """What is used of `huggingface_hub.HfApi`."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> object:
        """Make a repository."""

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> object:
        """Send a folder as one commit."""


def refuse_bad_repository(repository: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        InvalidInput: naming it.
    """
    if not HUB_ID.fullmatch(repository):
        raise InvalidInput(f"--push: expected ORG/NAME, such as my-team/digits, got {repository!r}")


def refuse_missing_token() -> None:
    """Refuse to begin where nobody is logged in.

    Raises:
        InvalidInput: saying how to log in.
    """
    from huggingface_hub import get_token

    if get_token() is None:
        raise InvalidInput("--push: nobody is logged in to the hub here; run `hf auth login` first")


def listing(folder: Path) -> list[str]:
    """A line for each file of a folder, with its size, and one for all of them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    lines = [
        f"{size:>14,} bytes  {path.relative_to(folder).as_posix()}"
        for path, size in zip(files, sizes, strict=True)
    ]
    return [*lines, f"{sum(sizes):>14,} bytes in {len(files)} files"]


def upload(folder: Path, repository: str, hub: Hub) -> None:
    """Send a folder to a repository, which is made (for its owners only) if it is not there.

    Raises:
        InvalidInput: no network, no right to write there, or another refusal of the hub.
    """
    try:
        hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(
            repo_id=repository, folder_path=str(folder), commit_message=f"Add {folder.name}"
        )
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
        reason = str(error).strip().split("\n")[0]
        raise InvalidInput(
            f"--push: {repository} could not be uploaded ({type(error).__name__}: {reason}). "
            f"The model is in {folder}; send it later with `hf upload {repository} {folder}`."
        ) from error
