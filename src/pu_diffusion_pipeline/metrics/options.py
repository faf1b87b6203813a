"""Options of the judge and of the distances."""

from typing import Annotated, Literal

from pydantic import Field

from pu_diffusion_pipeline.options import NEUTRAL, Count, Options, Positive, left_out_at


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


class EvaluationOptions(Options):
    """Which features the distances use, and their settings."""

    features: Literal["judge", "inception"]
    inception_weights: Annotated[str | None, NEUTRAL]
    kid_subsets: Positive
    kid_subset_size: Annotated[int, Field(ge=2)]
    neighborhood: Positive
    batch_size: Annotated[Positive, NEUTRAL]
