"""Options of the judge and of the distances."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pu_diffusion_pipeline.options import NEUTRAL, Count, Options, Positive, left_out_at

Colours = tuple[float, float, float]


def _no_zero(values: Colours) -> Colours:
    if min(values) <= 0:
        raise ValueError("must be numbers above 0")
    return values


class OnnxJudgeOptions(Options):
    """A classifier of the user's own in the place of the trained judge."""

    path: str
    image_size: Annotated[int, Field(ge=1, le=4096)]
    layout: Literal["nchw", "nhwc"]
    channel_order: Literal["rgb", "bgr"]
    mean: Colours
    std: Annotated[Colours, AfterValidator(_no_zero)]
    outputs: Literal["probabilities", "logits"]
    sensitive: Annotated[tuple[Count, ...], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, lt=1)]


class JudgeOptions(Options):
    """The classifier that decides normal or sensitive in evaluation."""

    architecture: Annotated[
        Literal["lenet", "resnet34"],  # backbones.BACKBONES, which needs torch
        left_out_at("lenet"),
    ]
    weights: Annotated[str | None, NEUTRAL]
    image_size: Annotated[int, Field(ge=16)]
    num_epochs: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Count
    onnx: Annotated[OnnxJudgeOptions | None, left_out_at(None)]


class EvaluationOptions(Options):
    """Which features the distances use, and their settings."""

    features: Literal["judge", "inception"]
    inception_weights: Annotated[str | None, NEUTRAL]
    kid_subsets: Positive
    kid_subset_size: Annotated[int, Field(ge=2)]
    neighborhood: Positive
    batch_size: Annotated[Positive, NEUTRAL]
