"""The model that fine-tuning starts from: an unconditional diffusers pipeline.

A folder may come from anybody. Its JSON files are checked (`published.py`), then the names and
shapes of its weights (`weight_files.py`), and only then are the weights read.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pu_diffusion_pipeline.diffusion.options import NoiseOptions
from pu_diffusion_pipeline.diffusion.published import (
    PipelineIndex,
    SchedulerDescription,
    UNetDescription,
    read_description,
)
from pu_diffusion_pipeline.diffusion.weight_files import load_weights
from pu_diffusion_pipeline.diffusion.weights_check import refuse_nonfinite
from pu_diffusion_pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# Patterns of file names; `*` matches subfolders too.
DESCRIPTIONS = ["model_index.json", "*config.json", "*.index.json"]


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
    described, scheduler = _descriptions(folder, name)
    unet = _component(folder, "unet", name)
    asked = {
        "data.image_size": image_size,
        "data.channels": channels,
        "data.num_conditions": num_conditions,
        **{f"noise.{field}": value for field, value in noise.model_dump().items()},
    }
    _check_fit(name, asked, _made_for(described, scheduler))
    denoiser = _build_without_weights(described, unet / "config.json")
    load_weights(denoiser, unet)
    refuse_nonfinite(denoiser, f"pretrained: {name}")
    return denoiser.eval(), DDPMScheduler(**scheduler.given)


def describe_pretrained(name: str) -> dict[str, object]:
    """What a published model is made for, by the names of the parameters.

    Args:
        name: as for `load_pretrained`.

    Returns:
        `data.image_size`, `data.channels`, `data.num_conditions` and `noise.*`.

    Raises:
        InvalidInput: it is missing, or no such pipeline.
    """
    return _made_for(*_descriptions(find_folder(name), name))


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


def _component(folder: Path, part: str, name: str) -> Path:
    """The folder of a component: a subfolder, or (in the first published models) the same one."""
    if not (folder / "model_index.json").is_file():
        raise InvalidInput(
            f"pretrained: {name} is no diffusers pipeline: it has no model_index.json. "
            f"{_way_out(name)}"
        )
    index = read_description(folder / "model_index.json", PipelineIndex)
    if index.unet != ("diffusers", "UNet2DModel"):
        raise InvalidInput(
            f"pretrained: {name} is a {index.pipeline} whose unet is {'.'.join(index.unet)}; "
            "expected an unconditional pipeline with diffusers.UNet2DModel, such as DDPMPipeline"
        )
    return folder / part if (folder / part).is_dir() else folder


def _descriptions(folder: Path, name: str) -> tuple[UNetDescription, SchedulerDescription]:
    unet, scheduler = (_component(folder, part, name) for part in ("unet", "scheduler"))
    return (
        read_description(unet / "config.json", UNetDescription),
        read_description(scheduler / "scheduler_config.json", SchedulerDescription),
    )


def _made_for(unet: UNetDescription, scheduler: SchedulerDescription) -> dict[str, object]:
    """What a model is made for, by the names of the parameters."""
    classes = unet.num_class_embeds
    noise = scheduler.noise.model_dump()
    return {
        "data.image_size": unet.sample_size,
        "data.channels": unet.in_channels,
        "data.num_conditions": None if classes is None else classes - 1,
        **{f"noise.{field}": value for field, value in noise.items()},
    }


def _check_fit(name: str, asked: dict[str, object], model: dict[str, object]) -> None:
    wrong = [
        f"  {parameter}: {asked[parameter]}, the model has {value}: set it to {value}"
        for parameter, value in model.items()
        if asked[parameter] != value
    ]
    if wrong:
        raise InvalidInput(f"pretrained: {name} does not fit the parameters:\n" + "\n".join(wrong))


def _build_without_weights(described: UNetDescription, path: Path) -> "UNet2DModel":
    """The denoiser on the meta device, where weights take no memory; it has computed once there."""
    from diffusers import UNet2DModel

    side = described.sample_size
    try:
        with torch.device("meta"), torch.no_grad():
            denoiser = UNet2DModel(**described.given)
            images = torch.empty(1, described.in_channels, side, side)
            timesteps = torch.zeros(1, dtype=torch.int64)
            conditions = None if described.num_class_embeds is None else timesteps
            predicted = denoiser(images, timesteps, class_labels=conditions).sample
    except Exception as error:  # diffusers and torch raise whatever fails first
        reason = str(error).strip().split("\n")[0]
        raise InvalidInput(
            f"pretrained: {path} describes a U-Net that cannot compute ({reason[:200]})"
        ) from error
    if predicted.shape != images.shape:
        raise InvalidInput(
            f"pretrained: {path} describes a U-Net that makes {tuple(predicted.shape[1:])} of "
            f"images {tuple(images.shape[1:])}; expected the same shape"
        )
    return denoiser
