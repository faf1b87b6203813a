"""The model that fine-tuning starts from: any diffusers folder of an unconditional pipeline, or its hub id.

Weights are read from safetensors. A folder that holds only a pickle (`.bin`) is read through torch's weights-only
loader, which admits tensors and nothing else.
"""

import json
import logging
import re
from pathlib import Path
from typing import Any

import torch

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.parameters import Noise

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
DESCRIPTIONS = ["model_index.json", "*config.json"]  # patterns; `*` matches subfolders too


def load_pretrained(
    name: str, *, image_size: int, channels: int, noise: Noise, num_conditions: int | None = None
) -> tuple[Any, Any]:
    """The denoiser and the noise scheduler of a published model.

    Args:
        name: a diffusers folder, or a hub id such as `google/ddpm-cifar10-32`.
        image_size: side of the images it is to be trained on.
        channels: their channels.
        noise: the forward process that the parameters name; the model's own must agree.
        num_conditions: classes of conditional training, None for unconditional.

    Returns:
        diffusers' UNet2DModel and DDPMScheduler.

    Raises:
        InvalidInput: it is missing, no unconditional pipeline, unsafe to read, or does not fit the parameters.
    """
    from diffusers import DDPMScheduler

    folder = find_folder(name)
    unet, scheduler = (_component(folder, part, name) for part in ("unet", "scheduler"))
    noise_scheduler = DDPMScheduler.from_config(_read_json(scheduler / "scheduler_config.json", name))
    _check_fit(
        name, _read_json(unet / "config.json", name), noise_scheduler, image_size, channels, noise, num_conditions
    )
    return _read_denoiser(unet, name), noise_scheduler


def find_folder(name: str) -> Path:
    """The folder of that name, or the hub's in the local cache, downloaded if it is not there yet."""
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
            f"pretrained: {name} is no folder here and could not be downloaded from the Hugging Face hub "
            f"({type(error).__name__}: {reason}). {_way_out(name)}"
        ) from error
    return folder


def _way_out(name: str) -> str:
    own = " A stand-in is made by `kedro run --env=finetune --pipeline=pretrain`." if name.startswith("data/") else ""
    return (
        "Give the path of a diffusers folder (model_index.json, unet/, scheduler/), such as one that "
        f"`hf download ID --local-dir FOLDER` writes on a machine with a network, or a hub id.{own}"
    )


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"pretrained: {name} is no diffusers pipeline: {path} is missing or damaged. {_way_out(name)}"
        ) from error


def _component(folder: Path, part: str, name: str) -> Path:
    """The folder of a component: below, or (in the first published models) the pipeline's own."""
    index = _read_json(folder / "model_index.json", name)
    kind = (index.get(part) or [None, None])[1]
    if part == "unet" and kind != "UNet2DModel":
        raise InvalidInput(
            f"pretrained: {name} is a {index.get('_class_name')} whose unet is {kind}; expected an unconditional "
            "pipeline with a UNet2DModel, such as DDPMPipeline"
        )
    return folder / part if (folder / part).is_dir() else folder


def _check_fit(
    name: str,
    config: dict[str, Any],
    noise_scheduler: Any,
    image_size: int,
    channels: int,
    noise: Noise,
    num_conditions: int | None,
) -> None:
    own = noise_scheduler.config
    size = config.get("sample_size")
    classes = config.get("num_class_embeds")
    wrong = [
        f"  {parameter}: {asked}, the model has {has}: set it to {has}"
        for parameter, asked, has in (
            ("data.image_size", image_size, size[0] if isinstance(size, list) else size),
            ("data.channels", channels, config["in_channels"]),
            ("data.num_conditions", num_conditions, None if classes is None else classes - 1),
            ("noise.num_train_timesteps", noise.num_train_timesteps, own.num_train_timesteps),
            ("noise.schedule", noise.schedule, own.beta_schedule),
            ("noise.prediction_type", noise.prediction_type, own.prediction_type),
        )
        if asked != has
    ]
    if wrong:
        raise InvalidInput(f"pretrained: {name} does not fit the parameters:\n" + "\n".join(wrong))


def _read_denoiser(folder: Path, name: str) -> Any:
    from diffusers import UNet2DModel

    safe, pickled = sorted(folder.glob("*.safetensors")), sorted(folder.glob("*.bin"))
    if not safe and not pickled:
        raise InvalidInput(f"pretrained: {name} has no weights in {folder} (diffusion_pytorch_model.safetensors)")
    if not safe:
        log.info("%s holds its weights as a pickle only: reading it through torch's weights-only loader", name)
        for path in pickled:
            _check_tensors_only(path, name)
    try:
        return UNet2DModel.from_pretrained(str(folder), use_safetensors=bool(safe), local_files_only=True)
    except Exception as error:  # diffusers, safetensors and torch each have their own
        reason = str(error).strip().split("\n")[0]
        raise InvalidInput(f"pretrained: the weights in {folder} cannot be read ({reason})") from error


def _check_tensors_only(path: Path, name: str) -> None:
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidInput(
            f"pretrained: {path} of {name} holds more than tensors or is damaged; it is not read. "
            "Use a folder with safetensors weights."
        ) from error
