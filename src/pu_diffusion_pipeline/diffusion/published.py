"""What a published model says of itself in its JSON files, checked before anything is built.

Nothing that a file names is imported: classes are chosen here, files only give their numbers.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pu_diffusion_pipeline.diffusion.options import NoiseOptions
from pu_diffusion_pipeline.errors import InvalidInput

MOST_BYTES = 2**20  # of a JSON file; a published one has a few thousand
MOST_LEVELS = 16
MOST_CHANNELS = 8192
MOST_TIMESTEPS = 100_000


def _one_side(size: object) -> object:
    """A list of two equal sides as one side."""
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        return size[0]
    return size


Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]
Side = Annotated[int, Field(ge=1, le=4096), BeforeValidator(_one_side)]
Timesteps = Annotated[int, Field(ge=2, le=MOST_TIMESTEPS)]
Share = Annotated[float, Field(gt=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Levels = Field(min_length=1, max_length=MOST_LEVELS)
DownBlock = Literal[
    "DownBlock2D",
    "AttnDownBlock2D",
    "ResnetDownsampleBlock2D",
    "SkipDownBlock2D",
    "AttnSkipDownBlock2D",
]
UpBlock = Literal[
    "UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D", "SkipUpBlock2D", "AttnSkipUpBlock2D"
]


class Description(BaseModel):
    """A JSON file: types are not converted, what this package does not use is left out."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    @property
    def given(self) -> dict[str, object]:
        """The fields that the file gives."""
        return self.model_dump(exclude_unset=True)


class PipelineIndex(Description):
    """`model_index.json`: library and class of the denoiser."""

    pipeline: Annotated[str, Field(alias="_class_name")]
    unet: tuple[str, str]


class ShardIndex(Description):
    """`*.index.json`: the file of each weight. Other folders' files are not read."""

    weight_map: dict[str, Annotated[str, Field(pattern=r"^\w[\w.-]*$")]]


class UNetDescription(Description):
    """`config.json` of a UNet2DModel, which has the same fields."""

    sample_size: Side
    in_channels: Channels
    out_channels: Channels
    block_out_channels: Annotated[tuple[Channels, ...], Levels]
    layers_per_block: Annotated[int, Field(ge=1, le=16)]
    down_block_types: Annotated[tuple[DownBlock, ...], Levels]
    up_block_types: Annotated[tuple[UpBlock, ...], Levels]
    center_input_sample: bool = False
    time_embedding_type: Literal["positional", "learned"] = "positional"
    time_embedding_dim: Channels | None = None
    freq_shift: Annotated[int, Field(ge=0, le=1)] = 0
    flip_sin_to_cos: bool = True
    mid_block_type: Literal["UNetMidBlock2D"] | None = "UNetMidBlock2D"
    mid_block_scale_factor: PositiveFloat = 1.0
    downsample_padding: Annotated[int, Field(ge=0, le=1)] = 1
    downsample_type: Literal["conv", "resnet"] = "conv"
    upsample_type: Literal["conv", "resnet"] = "conv"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    attention_head_dim: Channels | None = 8
    norm_num_groups: Channels = 32
    attn_norm_num_groups: Channels | None = None
    norm_eps: PositiveFloat = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    class_embed_type: None = None
    num_class_embeds: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    num_train_timesteps: Timesteps | None = None

    @model_validator(mode="after")
    def _predicts_images(self) -> "UNetDescription":
        if self.out_channels != self.in_channels:
            raise ValueError(
                f"out_channels must be in_channels ({self.in_channels}), got {self.out_channels}"
            )
        return self


class SchedulerDescription(Description):
    """`scheduler_config.json`, with the fields of a DDPMScheduler."""

    num_train_timesteps: Timesteps
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    beta_start: Share = 0.0001
    beta_end: Share = 0.02
    trained_betas: tuple[Share, ...] | None = None
    variance_type: Literal[
        "fixed_small",
        "fixed_small_log",
        "fixed_large",
        "fixed_large_log",
        "learned",
        "learned_range",
    ] = "fixed_small"
    clip_sample: bool = True
    clip_sample_range: PositiveFloat = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: Share = 0.995
    sample_max_value: PositiveFloat = 1.0
    timestep_spacing: Literal["linspace", "leading", "trailing"] = "leading"
    steps_offset: Annotated[int, Field(ge=0, le=MOST_TIMESTEPS)] = 0
    rescale_betas_zero_snr: bool = False

    @model_validator(mode="after")
    def _a_beta_per_timestep(self) -> "SchedulerDescription":
        betas = self.trained_betas
        if betas is not None and len(betas) != self.num_train_timesteps:
            raise ValueError(
                f"trained_betas must be {self.num_train_timesteps} numbers, one per time step, "
                f"got {len(betas)}"
            )
        return self

    @property
    def noise(self) -> NoiseOptions:
        """The forward process by the names of the parameters."""
        return NoiseOptions(
            num_train_timesteps=self.num_train_timesteps,
            schedule=self.beta_schedule,
            prediction_type=self.prediction_type,
        )


AnyDescription = TypeVar("AnyDescription", bound=Description)


def read_description(path: Path, kind: type[AnyDescription]) -> AnyDescription:
    """Read a JSON file.

    Raises:
        InvalidInput: it is missing, too large, no JSON object, or a field has not the right type
            or range.
    """
    try:
        return kind.model_validate_json(_limited(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = "".join(f"{part}: " for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    shown = first["type"] not in ("missing", "value_error", "json_invalid")
    got = f", got {reprlib.repr(first['input'])}" if shown else ""
    raise InvalidInput(f"pretrained: {path}: {field}{reason}{got}")


def _limited(path: Path) -> bytes:
    """The content of a file that is not too large; nothing is read of pipes and devices."""
    if not path.is_file():
        raise InvalidInput(f"pretrained: no diffusers pipeline: {path} is missing")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"pretrained: {path} cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise InvalidInput(
            f"pretrained: {path}: expected at most {MOST_BYTES} bytes, got "
            f"{path.stat().st_size}; it is no description of a model"
        )
    return content
