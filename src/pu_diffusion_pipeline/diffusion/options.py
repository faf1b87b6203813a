"""Options of computing, denoiser, noise, objective and sampling."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.samplers import SAMPLERS
from pu_diffusion_pipeline.images.options import is_conditional
from pu_diffusion_pipeline.options import (
    NEUTRAL,
    Artifact,
    Count,
    Options,
    Positive,
    left_out_at,
    matters_if,
    one_of,
)


def _uses_gamma(artifact: Artifact) -> bool:
    return artifact.method is not None and METHODS[artifact.method].uses_gamma


def _uses_mixing(artifact: Artifact) -> bool:
    if artifact.stage == "frontier":
        return True
    return artifact.method is not None and METHODS[artifact.method].uses_mixing


class ComputeOptions(Options):
    """Where and how precisely to compute."""

    device: Annotated[Literal["auto", "cuda", "mps", "cpu"], NEUTRAL]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    channels_last: Annotated[bool, NEUTRAL]
    compile: Annotated[bool, NEUTRAL]


class DenoiserOptions(Options):
    """The U-Net (diffusers' UNet2DModel)."""

    block_out_channels: Annotated[tuple[Positive, ...], Field(min_length=2)]
    layers_per_block: Positive
    attention_levels: tuple[Count, ...]
    middle_attention: bool
    attention_head_dim: Positive
    norm_num_groups: Positive

    @model_validator(mode="after")
    def _widths_divide(self) -> "DenoiserOptions":
        widths = self.block_out_channels
        for width in widths:
            if width % self.norm_num_groups:
                raise ValueError(
                    f"norm_num_groups {self.norm_num_groups} does not divide block width {width}"
                )
        if any(level >= len(widths) for level in self.attention_levels):
            raise ValueError(f"attention_levels must be below the {len(widths)} levels there are")
        middle = [len(widths) - 1] if self.middle_attention else []
        for width in {widths[level] for level in (*self.attention_levels, *middle)}:
            if width % self.attention_head_dim:
                raise ValueError(
                    f"attention_head_dim {self.attention_head_dim} does not divide block width"
                    f" {width}"
                )
        return self


class NoiseOptions(Options):
    """The forward process (Eq. 4-6) and what the denoiser predicts."""

    num_train_timesteps: Annotated[int, Field(ge=2)]
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
    prediction_type: Literal["epsilon", "v_prediction", "sample"]


class ObjectiveOptions(Options):
    """How the per-image error is measured and how the PU risk is kept from going negative."""

    correction: Literal["non_negative", "absolute", "none"]  # risk.CORRECTIONS, which needs torch
    reduction: Literal["sum", "mean"]
    error_space: Literal["epsilon", "v_prediction"]
    gamma: Annotated[float, Field(ge=0, le=1), matters_if(_uses_gamma)]
    mixing: Annotated[float, Field(ge=0, le=1), matters_if(_uses_mixing)]


class SamplingOptions(Options):
    """How images are drawn from a trained model."""

    num_images: Annotated[int, Field(ge=2)]
    sampler: Annotated[str, one_of(SAMPLERS)]
    num_steps: Positive
    karras_sigmas: bool
    exponential_sigmas: Annotated[bool, left_out_at(False)] = False
    guidance: Annotated[float, Field(ge=0), matters_if(is_conditional)]
    batch_size: Annotated[Positive, NEUTRAL]
    num_processes: Annotated[Positive, NEUTRAL] = 1

    @property
    def sigmas(self) -> str | None:
        """The spacing of the noise levels, as `samplers.Sampler.build` takes it."""
        if self.karras_sigmas:
            return "karras"
        return "exponential" if self.exponential_sigmas else None

    @model_validator(mode="after")
    def _sigmas_need_a_solver(self) -> "SamplingOptions":
        if self.karras_sigmas and self.exponential_sigmas:
            raise ValueError("karras_sigmas and exponential_sigmas: expected at most one of them")
        if self.sigmas is not None and not SAMPLERS[self.sampler].takes_sigmas:
            takers = [name for name, sampler in SAMPLERS.items() if sampler.takes_sigmas]
            raise ValueError(
                f"{self.sigmas}_sigmas goes with the samplers {' and '.join(takers)} only"
            )
        return self


class GuidingOptions(Options):
    """Sampling that is pushed away from another model: D + weight (D - D_other)."""

    weight: Annotated[float, Field(gt=0)]
    timesteps: tuple[Count, Count]

    @model_validator(mode="after")
    def _in_order(self) -> "GuidingOptions":
        first, end = self.timesteps
        if first >= end:
            raise ValueError(f"timesteps must be [first, end] with first < end, got {[first, end]}")
        return self
