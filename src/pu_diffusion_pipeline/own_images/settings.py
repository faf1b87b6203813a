"""Settings that fit a user's folder and machine, and the file of parameters that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from jinja2 import Environment, PackageLoader

from pu_diffusion_pipeline.errors import InvalidInput

SIZES = (32, 64)  # of the model's images, unless the user asks for another
GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N"}  # Pillow's modes without colour
# Image size to the channels of the denoiser's levels; a larger image takes those of the next
# smaller size.
SMALL = {32: [16, 16, 64, 128, 128], 64: [16, 32, 64, 128, 128, 128]}
LARGE = {128: [64, 64, 128, 256, 256, 256]}
LONGEST = 100  # passes over U and S; more than the paper's
FEWEST_STEPS = 200  # the fewest that were tried on digits (docs/results/recipes.md)
ROUND = 50


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    Attributes:
        path: the folder.
        name: of the benchmark.
        size: pixels of the model's images; None: chosen.
        minutes: of training for each method.
        pretrained: a model to start from: diffusers folder or hub id; None: random weights.
        beta: share of sensitive images in unlabeled/; None: estimated.
        labels: whether the folder has labels.csv.
        folder: how the folder is read, where that is not as usual.
    """

    path: str
    name: str
    size: int | None
    minutes: float
    pretrained: str | None
    beta: float | None
    labels: bool
    folder: Mapping[str, object]


@dataclass(frozen=True)
class Chosen:
    """What fits.

    Attributes:
        image_size: pixels.
        channels: 1 or 3.
        block_out_channels: of the denoiser's levels; None: those of the model to start from.
        noise: the noise that the model to start from was trained with; empty: the usual.
        num_samples: images that each method generates.
        kid_subset_size: images in each subset of the kernel distance.
    """

    image_size: int
    channels: int
    block_out_channels: list[int] | None
    noise: Mapping[str, object]
    num_samples: int
    kid_subset_size: int


def choose(
    readable: pd.DataFrame,
    asked: Asked,
    heldout_share: float,
    model: Mapping[str, object] | None = None,
) -> Chosen:
    """Settings for the images of a folder.

    Args:
        readable: a row per image: role, width, height, mode.
        asked: what the user asked for.
        heldout_share: of U that stands in for a missing test/.
        model: `describe_pretrained` of the model to start from; None: random weights.

    Raises:
        InvalidInput: the size that was asked for is not the model's, or none that can be chosen.
    """
    size = asked.size or _size(readable)
    channels = 1 if set(readable["mode"]) <= GREY else 3
    if model is not None:
        size, channels = _of_the_model(model, asked)
    counts = readable["role"].value_counts()
    num_test = counts.get("test", 0) or int(heldout_share * counts["unlabeled"])
    num_samples = int(min(2000, max(100, counts["unlabeled"])))
    return Chosen(
        image_size=size,
        channels=channels,
        block_out_channels=levels(size) if model is None else None,
        noise={} if model is None else _noise_of(model),
        num_samples=num_samples,
        kid_subset_size=max(2, min(250, num_samples // 2, num_test // 2)),
    )


def _of_the_model(model: Mapping[str, object], asked: Asked) -> tuple[int, int]:
    """Image size and channels."""
    size, channels = model["data.image_size"], model["data.channels"]
    assert isinstance(size, int)
    if model["data.num_conditions"] is not None or channels not in (1, 3):
        raise InvalidInput(
            f"--pretrained: {asked.pretrained} is no unconditional model of grey or colour images"
        )
    if asked.size not in (None, size):
        raise InvalidInput(f"--size: {asked.pretrained} makes images of {size}, got {asked.size}")
    return size, 1 if channels == 1 else 3


def _noise_of(model: Mapping[str, object]) -> dict[str, object]:
    names = [name for name in model if name.startswith("noise.")]
    return {name.removeprefix("noise."): model[name] for name in names}


def _size(readable: pd.DataFrame) -> int:
    """The largest of `SIZES` up to 64 that most images have without being enlarged."""
    median = readable[["width", "height"]].min(axis=1).median()
    return max((size for size in SIZES if size <= median * 1.25), default=SIZES[0])


def levels(size: int) -> list[int]:
    """Channels of the denoiser's levels for an image size.

    Raises:
        InvalidInput: the size is none of those that a denoiser is prepared for.
    """
    known = {**SMALL, **LARGE}
    fitting = [one for one in known if size % 2 ** (len(known[one]) - 1) == 0 and one <= size]
    if not fitting:
        raise InvalidInput(f"--size must be a multiple of 16 from 32, got {size}")
    return known[max(fitting)]


def steps_for(minutes: float, seconds_per_step: float, num_images: int, batch_size: int) -> int:
    """Training steps that fit the minutes; not more than `LONGEST` passes over the images."""
    fitting = int(60 * minutes / seconds_per_step)
    longest = max(1000, LONGEST * num_images // batch_size)
    steps = min(fitting, longest)
    return max(ROUND, steps // ROUND * ROUND)


def parameters_text(asked: Asked, chosen: Chosen, **values: object) -> str:
    """The text of conf/<name>/parameters.yml, with comments.

    Args:
        asked: what the user asked for.
        chosen: what fits.
        values: `command`, `counts`, `num_steps`, `seconds_per_step`,
            `machine`.
    """
    environment = Environment(loader=PackageLoader(__package__, "."), keep_trailing_newline=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # YAML knows no surrogates
    template = environment.get_template("parameters.yml.jinja")
    return template.render(asked=asked, chosen=chosen, **values)
