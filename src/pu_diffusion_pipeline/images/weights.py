"""Files of published weights: find or download them, and read nothing but tensors from them."""

from pathlib import Path

import torch
from torch import Tensor

from pu_diffusion_pipeline.errors import InvalidInput


def weights_file(path: str | None, url: str, field: str, otherwise: str) -> Path:
    """The given file, or the download of `url` in torch's cache.

    Args:
        path: a file; None downloads.
        url: where the published file is.
        field: the parameter that names the file, for error messages.
        otherwise: the alternative to suggest in an error message.

    Raises:
        InvalidInput: no such file, or no network.
    """
    if path is not None:
        if not (file := Path(path)).is_file():
            raise InvalidInput(f"{field}: no file {file}")
        return file
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file))
        except OSError as error:
            raise InvalidInput(
                f"{url} is needed and cannot be downloaded ({error}). Put that file at {file}, "
                f"name another with {field}, or {otherwise}."
            ) from error
    return file


def read_tensors(file: Path, field: str) -> dict[str, Tensor]:
    """The state dictionary that torch saved in the file.

    Raises:
        InvalidInput: the file has something else than tensors, or is damaged.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises its own, pickle's and zipfile's errors
        raise InvalidInput(
            f"{field}: {file} is not a file of tensors ({str(error).splitlines()[0]})"
        ) from error
