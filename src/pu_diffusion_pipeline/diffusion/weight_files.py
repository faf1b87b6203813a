"""The weights of a published denoiser: safetensors, or a pickle through torch's loader of tensors.

Names and shapes come first, from the headers; only then is memory taken.
"""

import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from pu_diffusion_pipeline.diffusion.free_memory import free_memory, in_words
from pu_diffusion_pipeline.diffusion.published import ShardIndex, read_description
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")  # first one counts
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
# How the first published models name the weights of attention.
OLD_NAME = re.compile(r"(.*\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def load_weights(denoiser: "nn.Module", folder: Path) -> None:
    """Give a denoiser the float32 weights of a folder.

    Args:
        denoiser: on the meta device.
        folder: of its files, which may come from anybody.

    Raises:
        InvalidInput: a file is missing, damaged or holds more than tensors; names or shapes are not
            exactly the denoiser's; or the weights do not fit into memory.
    """
    paths = find_weights(folder)
    if paths[0].suffix != ".safetensors":
        log.info("%s: reading its pickled weights through torch's weights-only loader", folder)
    declared = _named(paths, _declared)
    _refuse_others(declared, denoiser.state_dict(), folder)
    _refuse_too_large(declared, paths)
    weights = {
        name: weight.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        for name, weight in _named(paths, _tensors).items()
    }
    denoiser.load_state_dict(weights, assign=True)


def find_weights(folder: Path) -> list[Path]:
    """The files of the weights: safetensors if there are any, else pickles; perhaps in shards."""
    for name in FILES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
        if (folder / name).is_file():
            return [folder / name]
    raise InvalidInput(f"pretrained: {folder} has no weights ({FILES[0]})")


def _shards(index: Path) -> list[Path]:
    names = set(read_description(index, ShardIndex).weight_map.values())
    paths = [index.with_name(name) for name in sorted(names)]
    if missing := next((path for path in paths if not path.is_file()), None):
        raise InvalidInput(f"pretrained: {index} names {missing.name}, which is not there")
    return paths


def _named(paths: list[Path], read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What is read of all files, by the names of today."""
    weights: dict[str, Tensor] = {}
    for path in paths:
        try:
            weights |= {_new_name(name): weight for name, weight in read(path).items()}
        except InvalidInput:
            raise
        except Exception as error:  # safetensors, torch, pickle and zipfile each have their own
            reason = str(error).strip().split("\n")[0]
            raise InvalidInput(
                f"pretrained: {path} is damaged or holds more than tensors and cannot be read "
                f"({reason[:200]}); use a folder with sound safetensors weights"
            ) from error
    return weights


def _new_name(name: str) -> str:
    if old := OLD_NAME.fullmatch(name):
        return f"{old[1]}.{NEW_NAMES[old[2]]}.{old[3]}"
    return name


def _declared(path: Path) -> dict[str, Tensor]:
    """The weights of a file on the meta device: their names, types and shapes."""
    if path.suffix != ".safetensors":
        return _unpickled(path, "meta")
    with safe_open(path, framework="pt") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    return {
        name: torch.empty(part.get_shape(), dtype=_dtype(path, name, part), device="meta")
        for name, part in parts.items()
    }


def _dtype(path: Path, name: str, part: Any) -> torch.dtype:
    if part.get_dtype() not in DTYPES:
        raise InvalidInput(
            f"pretrained: {path}: {name}: expected one of {', '.join(DTYPES)}, "
            f"got {part.get_dtype()}"
        )
    return DTYPES[part.get_dtype()]


def _tensors(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.suffix == ".safetensors" else _unpickled(path, "cpu")


def _unpickled(path: Path, device: str) -> dict[str, Tensor]:
    """The tensors of a pickle in torch's format since version 1.6, which is not compressed.

    On the meta device their values are not read.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
    _refuse_more_than(path.stat().st_size, unpacked, path)
    state = torch.load(path, map_location=device, weights_only=True)
    for name, weight in state.items():
        if not (isinstance(weight, Tensor) and weight.dtype in DTYPES.values()):
            raise InvalidInput(f"pretrained: {path}: {name}: expected a tensor of {[*DTYPES]}")
    storages = {weight.untyped_storage()._cdata: weight for weight in state.values()}
    held = sum(weight.untyped_storage().nbytes() for weight in storages.values())
    _refuse_more_than(path.stat().st_size, held, path)
    return state


def _refuse_more_than(size: int, claimed: int, path: Path) -> None:
    if claimed > size:
        raise InvalidInput(
            f"pretrained: {path} has {size} bytes and claims to hold {claimed}; it is not read"
        )


def _refuse_others(given: dict[str, Tensor], expected: dict[str, Tensor], folder: Path) -> None:
    """Refuse names and shapes that are not the denoiser's; the message names the first one."""
    shapes = [
        {name: tuple(weight.shape) for name, weight in weights.items()}
        for weights in (given, expected)
    ]
    for name in sorted({**given, **expected}):
        got, right = (known.get(name, "none") for known in shapes)
        if got != right:
            raise InvalidInput(
                f"pretrained: the weights in {folder} are not those of its config.json: {name}: "
                f"expected the shape {right}, got {got}"
            )


def _refuse_too_large(weights: dict[str, Tensor], paths: list[Path]) -> None:
    """Refuse weights that the files cannot hold, or the memory."""
    stored = sum(weight.numel() * weight.element_size() for weight in weights.values())
    _refuse_more_than(sum(path.stat().st_size for path in paths), stored, paths[0].parent)
    needed = sum(weight.numel() for weight in weights.values()) * torch.float32.itemsize
    free = free_memory("cpu")
    if free is not None and needed > free:
        raise InvalidInput(
            f"pretrained: the weights in {paths[0].parent} need {in_words(needed)} of memory, "
            f"{in_words(free)} are free"
        )
