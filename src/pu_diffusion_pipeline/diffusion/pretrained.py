"""The model that fine-tuning starts from: an unconditional diffusers pipeline.

Weights are read from safetensors. A folder that has only a pickle (`.bin`) is read through torch's
weights-only loader, which accepts nothing but tensors.
"""

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pu_diffusion_pipeline.diffusion.options import NoiseOptions
from pu_diffusion_pipeline.diffusion.weights_check import refuse_nonfinite
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
DESCRIPTIONS = ["model_index.json", "*config.json"]  # patterns; `*` matches subfolders too


def load_pretrained(
    name: str,
    *,
    image_size: int,
    channels: int,
    noise: NoiseOptions,
    num_conditions: int | None = None,
) -> tuple["UNet2DModel", "DDPMScheduler"]:
    """The denoiser and the noise scheduler of a published model.

    Args:
        name: a diffusers folder, or a hub id such as `google/ddpm-cifar10-32`.
        image_size: side of the images it is to be trained on.
        channels: their channels.
        noise: the forward process to train with; the model's own must agree.
        num_conditions: classes of conditional training, None for unconditional.

    Returns:
        diffusers' UNet2DModel and DDPMScheduler.

    Raises:
        InvalidInput: it is missing, no unconditional pipeline, unsafe to read, or does not fit the
            arguments.
    """
    from diffusers import DDPMScheduler

    folder = find_folder(name)
    unet = _component(folder, "unet", name)
    scheduler = _component(folder, "scheduler", name)
    noise_scheduler = DDPMScheduler.from_config(
        _read_json(scheduler / "scheduler_config.json", name)
    )
    asked = {
        "data.image_size": image_size,
        "data.channels": channels,
        "data.num_conditions": num_conditions,
        **{f"noise.{field}": value for field, value in noise.model_dump().items()},
    }
    model = _description(_read_json(unet / "config.json", name), dict(noise_scheduler.config))
    _check_fit(name, asked, model)
    return _read_denoiser(unet, name), noise_scheduler


def find_folder(name: str) -> Path:
    """The folder of that name, or the hub's one in the local cache, downloaded if need be."""
    if (folder := Path(name)).is_dir():
        return folder
    if not HUB_ID.fullmatch(name):
        raise InvalidInput(f"pretrained: no folder {name}. {_way_out(name)}")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*DESCRIPTIONS, "*.safetensors"]))
        if not list(folder.rglob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*DESCRIPTIONS, "*.bin"]))
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
        reason = str(error).strip().split("\n")[0]
        raise InvalidInput(
            f"pretrained: {name} is no folder here and could not be downloaded from the Hugging "
            f"Face hub ({type(error).__name__}: {reason}). {_way_out(name)}"
        ) from error
    return folder


def _way_out(name: str) -> str:
    own = ""
    if name.startswith("data/"):
        own = " A stand-in is made by `kedro run --env=finetune --pipeline=pretrain`."
    return (
        "Give the path of a diffusers folder (model_index.json, unet/, scheduler/), such as one "
        "that `hf download ID --local-dir FOLDER` writes on a machine with a network, or a hub "
        f"id.{own}"
    )


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"pretrained: {name} is no diffusers pipeline: {path} is missing or damaged. "
            f"{_way_out(name)}"
        ) from error


def _component(folder: Path, part: str, name: str) -> Path:
    """The folder of a component: a subfolder, or (in the first published models) the same one."""
    index = _read_json(folder / "model_index.json", name)
    kind = (index.get(part) or [None, None])[1]
    if part == "unet" and kind != "UNet2DModel":
        raise InvalidInput(
            f"pretrained: {name} is a {index.get('_class_name')} whose unet is {kind}; expected an "
            "unconditional pipeline with a UNet2DModel, such as DDPMPipeline"
        )
    return folder / part if (folder / part).is_dir() else folder


def _description(unet: dict[str, Any], scheduler: dict[str, object]) -> dict[str, object]:
    """What a model is made for, by the names of the parameters."""
    size = unet.get("sample_size")
    classes = unet.get("num_class_embeds")
    return {
        "data.image_size": size[0] if isinstance(size, list) else size,
        "data.channels": unet["in_channels"],
        "data.num_conditions": None if classes is None else classes - 1,
        "noise.num_train_timesteps": scheduler["num_train_timesteps"],
        "noise.schedule": scheduler["beta_schedule"],
        "noise.prediction_type": scheduler["prediction_type"],
    }


def _check_fit(name: str, asked: dict[str, object], model: dict[str, object]) -> None:
    wrong = [
        f"  {parameter}: {asked[parameter]}, the model has {value}: set it to {value}"
        for parameter, value in model.items()
        if asked[parameter] != value
    ]
    if wrong:
        raise InvalidInput(f"pretrained: {name} does not fit the parameters:\n" + "\n".join(wrong))


def _read_denoiser(folder: Path, name: str) -> "UNet2DModel":
    from diffusers import UNet2DModel

    safe = sorted(folder.glob("*.safetensors"))
    pickled = sorted(folder.glob("*.bin"))
    if not safe and not pickled:
        raise InvalidInput(
            f"pretrained: {name} has no weights in {folder} (diffusion_pytorch_model.safetensors)"
        )
    if not safe:
        log.info("%s: reading its pickled weights through torch's weights-only loader", name)
        for path in pickled:
            _check_tensors_only(path, name)
    try:
        denoiser = UNet2DModel.from_pretrained(
            str(folder), use_safetensors=bool(safe), local_files_only=True
        )
    except Exception as error:  # diffusers, safetensors and torch each have their own
        reason = str(error).strip().split("\n")[0]
        raise InvalidInput(
            f"pretrained: the weights in {folder} cannot be read ({reason})"
        ) from error
    refuse_nonfinite(denoiser, f"pretrained: {name}")
    return denoiser


def _check_tensors_only(path: Path, name: str) -> None:
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidInput(
            f"pretrained: {path} of {name} holds more than tensors or is damaged; it is not read. "
            "Use a folder with safetensors weights."
        ) from error
