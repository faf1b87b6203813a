"""Options of the class-prior estimation and of the classifier."""

from typing import Annotated, Literal

from pydantic import Field

from pu_diffusion_pipeline.options import Options, Positive, left_out_at, one_of, single_message
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS, WITHOUT_BETA


class ClassPriorOptions(Options):
    """Estimation of the share of sensitive images in U."""

    model: Annotated[str, one_of(("auto", *WITHOUT_BETA))]
    encoder: Annotated[str | None, left_out_at(None)]
    folds: Annotated[int, Field(ge=2)] | Literal["auto"]
    repeats: Positive
    num_components: Positive
    num_epochs: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    num_resamples: Positive


class SensitivityOptions(Options):
    """The probability that an image is sensitive, and the rate of samples without labels."""

    model: Annotated[str, one_of(("auto", *SCORE_MODELS))]
    encoder: Annotated[str | None, left_out_at(None)]
    folds: Annotated[int, Field(ge=2, le=1000)] | Literal["auto"]
    repeats: Annotated[int, Field(ge=1, le=1000)]
    num_components: Positive
    num_epochs: Positive
    num_resamples: Annotated[int, Field(ge=20)]
    beta: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | Literal["estimated", "upper"],
        single_message("must be a number between 0 and 1, 'estimated' or 'upper'"),
    ]


class CleaningOptions(Options):
    """Which images of U are left out of a training on a cleaned U."""

    probability: Annotated[float, Field(gt=0, le=1)]


class FilteringOptions(Options):
    """How many samples are dropped, those that are most probably sensitive."""

    share: Annotated[float, Field(gt=0, lt=1)]
