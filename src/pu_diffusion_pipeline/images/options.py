"""Options of the data: sources and how they are split."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pu_diffusion_pipeline.images.sources import SOURCES
from pu_diffusion_pipeline.options import (
    NEUTRAL,
    Artifact,
    Count,
    Options,
    Positive,
    left_out_at,
    one_of,
)


def is_conditional(artifact: Artifact) -> bool:
    """Whether the denoiser is told the class (Eq. 20)."""
    return artifact.values["data.num_conditions"] is not None


def _no_class_twice(classes: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted({one for one in classes if classes.count(one) > 1})
    if twice:
        raise ValueError(f"must name each class once, but {twice[0]} stands there twice")
    return classes


class CountsOptions(Options):
    """Images per group, as in Table 1 of the paper."""

    unlabeled_normal: Positive
    unlabeled_sensitive: Count
    labeled_sensitive: Positive
    labeled_normal: Annotated[Count, left_out_at(0)]
    test: Annotated[int, Field(ge=2)]
    heldout_sensitive: Annotated[int, Field(ge=1)]
    judge: Positive | None


class DataOptions(Options):
    """The source images and how they are split."""

    source: Annotated[str, one_of(SOURCES)]
    root: Annotated[str, NEUTRAL]
    download: Annotated[bool, NEUTRAL]
    normal_classes: Annotated[
        tuple[Count, ...], Field(min_length=1), AfterValidator(_no_class_twice)
    ]
    image_size: Annotated[int, Field(ge=8)]
    channels: Literal[1, 3]
    judge_split: Annotated[Literal["clean", "paper"], left_out_at("clean")]
    num_conditions: Annotated[Annotated[int, Field(ge=2)] | None, left_out_at(None)]
    counts: CountsOptions
