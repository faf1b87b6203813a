"""Options of the data: sources and how they are split."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.sources import SOURCES
from pu_diffusion_pipeline.options import (
    NEUTRAL,
    Artifact,
    Count,
    Fraction,
    Options,
    Positive,
    left_out_at,
    matters_if,
    one_of,
)

FOLDER = "folder"  # the source of a user's own images


def is_conditional(artifact: Artifact) -> bool:
    """Whether the denoiser is told the class (Eq. 20)."""
    return artifact.values["data.num_conditions"] is not None


def is_folder(artifact: Artifact) -> bool:
    """Whether the images are a user's own."""
    return artifact.values["data.source"] == FOLDER


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


class FolderOptions(Options):
    """How a user's own folder is read: `unlabeled/`, `sensitive/` and what else it holds."""

    labels: bool
    duplicates: Literal["refuse", "drop"]
    heldout_share: Annotated[float, Field(gt=0, lt=0.5)]
    most_unreadable: Annotated[Fraction, NEUTRAL]
    max_pixels: Positive
    engine: Annotated[Literal["threads", "ray"], NEUTRAL]


def _no_address(root: str) -> str:
    if "://" in root:
        raise ValueError("must be a folder; mount a bucket as one (docs/scale.md)")
    return root


class DataOptions(Options):
    """The source images and how they are split."""

    source: Annotated[str, one_of((*SOURCES, FOLDER))]
    root: Annotated[str, NEUTRAL, AfterValidator(_no_address)]
    download: Annotated[bool, NEUTRAL]
    normal_classes: Annotated[
        tuple[Count, ...], Field(min_length=1), AfterValidator(_no_class_twice)
    ]
    image_size: Annotated[int, Field(ge=8)]
    channels: Literal[1, 3]
    judge_split: Annotated[Literal["clean", "paper"], left_out_at("clean")]
    num_conditions: Annotated[Annotated[int, Field(ge=2)] | None, left_out_at(None)]
    counts: CountsOptions | None
    folder: Annotated[FolderOptions, matters_if(is_folder)]

    @model_validator(mode="after")
    def _fits_the_source(self) -> "DataOptions":
        if self.source != FOLDER:
            if self.counts is None:
                raise ValueError("data.counts must say how many images each group has, got null")
            return self
        if self.counts is not None:
            raise ValueError("data.counts must be null with the source folder: its folders count")
        if self.num_conditions is not None:
            raise ValueError("data.num_conditions must be null with the source folder")
        if self.normal_classes != (0,):
            raise ValueError(
                "data.normal_classes must be [0] with the source folder (0 normal, 1 sensitive)"
            )
        return self

    @property
    def has_truth(self) -> bool:
        """Whether somebody has said which images are sensitive."""
        return self.source != FOLDER or self.folder.labels

    @property
    def given_counts(self) -> CountsOptions:
        """The counts of a source that is split by them."""
        if self.counts is None:
            raise InvalidInput("data.counts is null: the counts are those of the folders")
        return self.counts
