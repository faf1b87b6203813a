"""The typed form of parameters.yml: the options of every room, and what they must agree on."""

import difflib
import typing
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.options import (
    ComputeOptions,
    DenoiserOptions,
    GuidingOptions,
    NoiseOptions,
    ObjectiveOptions,
    SamplingOptions,
)
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.locks import Policy
from pu_diffusion_pipeline.images.options import FOLDER, CountsOptions, DataOptions
from pu_diffusion_pipeline.metrics.options import EvaluationOptions, JudgeOptions
from pu_diffusion_pipeline.options import (
    NEUTRAL,
    Artifact,
    Brings,
    Fraction,
    Options,
    left_out_at,
    matters_if,
    single_message,
)
from pu_diffusion_pipeline.positive_unlabeled.options import (
    ClassPriorOptions,
    CleaningOptions,
    FilteringOptions,
    SensitivityOptions,
)
from pu_diffusion_pipeline.reports.options import PaperRow, ReportingOptions
from pu_diffusion_pipeline.training.options import (
    PretrainingOptions,
    RelearningOptions,
    TrackingOptions,
    TrainingOptions,
    WatchOptions,
)

BENCHMARK_PATTERN = "[a-z0-9_]{1,100}"  # it names a folder
MOST_LINES = 4  # of a refusal
ONE_LENGTH = {"num_steps": None, "num_epochs": None}


def _seed_matters(artifact: Artifact) -> bool:
    if artifact.stage == "initial":
        return artifact.values["pretrained"] is None
    return artifact.stage not in ("comparable", "frontier")


def _uses_beta(artifact: Artifact) -> bool:
    return artifact.method is not None and METHODS[artifact.method].uses_beta


def _with_beta(artifact: Artifact) -> tuple[str, ...]:
    is_estimated = isinstance(artifact.values["beta"], str)
    return ("class_prior",) if is_estimated and _uses_beta(artifact) else ()


def _builds_a_denoiser(artifact: Artifact) -> bool:
    """A pre-trained model brings its own."""
    return artifact.stage == "base" or artifact.values["pretrained"] is None


def _is_blind(artifact: Artifact) -> bool:
    """Whether no labels say which images are sensitive."""
    return artifact.values["data.source"] == FOLDER and not artifact.values["data.folder.labels"]


def _with_sensitivity(artifact: Artifact) -> tuple[str, ...]:
    """Without labels it judges, and chooses the images to compare with."""
    judged = artifact.stage in ("reference", "metrics", "relearning", "comparable", "frontier")
    return ("sensitivity", "class_prior") if judged and _is_blind(artifact) else ()


def _trains(artifact: Artifact) -> bool:
    """Or draws from models that were trained."""
    if artifact.method is None:
        return True
    return METHODS[artifact.method].trains or bool(METHODS[artifact.method].draws_from)


def _keeps_the_best(artifact: Artifact) -> bool:
    """Else watching a training changes nothing in it."""
    return artifact.values["watch.keep"] == "best"


def _with_watch(artifact: Artifact) -> tuple[str, ...]:
    """They decide which look is the best."""
    return ("sampling", "judge", "evaluation") if _keeps_the_best(artifact) else ()


class Parameters(Options):
    """All of parameters.yml."""

    benchmark: Annotated[str, Field(pattern=f"^{BENCHMARK_PATTERN}$")]
    seed: Annotated[int, Field(ge=0, lt=2**32), matters_if(_seed_matters)]
    beta: Annotated[
        Fraction | Literal["estimated", "upper"],
        single_message("must be a number in [0, 1), 'estimated' or 'upper'"),
        matters_if(_uses_beta),
        Brings(_with_beta),
    ]
    pretrained: Annotated[str | None, left_out_at(None)]
    paper_row: Annotated[PaperRow | None, NEUTRAL]
    folder_locks: Annotated[Policy, NEUTRAL]
    compute: ComputeOptions
    data: Annotated[DataOptions, Brings(_with_sensitivity)]
    class_prior: ClassPriorOptions
    sensitivity: SensitivityOptions
    cleaning: CleaningOptions
    denoiser: Annotated[DenoiserOptions, matters_if(_builds_a_denoiser)]
    noise: NoiseOptions
    objective: Annotated[ObjectiveOptions, matters_if(_trains)]
    training: Annotated[TrainingOptions, matters_if(_trains)]
    pretraining: PretrainingOptions | None
    watch: Annotated[
        WatchOptions, matters_if(_trains), matters_if(_keeps_the_best), Brings(_with_watch)
    ]
    relearning: RelearningOptions
    tracking: TrackingOptions
    sampling: SamplingOptions
    guiding: GuidingOptions
    filtering: FilteringOptions
    judge: JudgeOptions
    evaluation: EvaluationOptions
    reporting: ReportingOptions

    @model_validator(mode="before")
    @classmethod
    def _off_is_a_word(cls, values: object) -> object:
        """YAML reads `off` as false."""
        if isinstance(values, Mapping) and values.get("folder_locks") is False:
            return {**values, "folder_locks": "off"}
        return values

    @field_validator("pretraining", mode="before")
    @classmethod
    def _rest_from_training(cls, value: object, info: ValidationInfo) -> object:
        """What `pretraining` does not say is as in `training`."""
        if not isinstance(value, Mapping):
            return value
        training = info.data.get("training")
        if training is None:  # it has errors of its own: they are enough
            return None
        length = ONE_LENGTH if value.keys() & ONE_LENGTH.keys() else {}
        return {**training.model_dump(), **length, **value}

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Parameters":
        smallest = 2 ** (len(self.denoiser.block_out_channels) - 1)
        if self.data.image_size % smallest:
            raise ValueError(
                f"data.image_size must be a multiple of {smallest} for this denoiser's levels"
            )
        if self.watch.every is None and self.watch.keep != "last":
            raise ValueError(
                f"watch.keep {self.watch.keep} needs watch.every, the steps between two looks"
            )
        if self.watch.every is not None and self.judge.onnx is not None:
            raise ValueError("watch.every does not go with judge.onnx: the trained judge watches")
        if self.watch.every is not None and not self.data.has_truth:
            raise ValueError("watch.every needs data.folder.labels: the judge knows from them")
        if self.sampling.num_steps > self.noise.num_train_timesteps:
            raise ValueError("sampling.num_steps must not be above noise.num_train_timesteps")
        if self.guiding.timesteps[0] >= self.noise.num_train_timesteps:
            raise ValueError(
                "guiding.timesteps must begin below noise.num_train_timesteps "
                f"({self.noise.num_train_timesteps}), got {list(self.guiding.timesteps)}"
            )
        if self.data.counts is not None:
            self._batches_hold_labeled_images(self.data.counts)
            self._subsets_fit(self.data.counts)
        return self

    def _subsets_fit(self, counts: CountsOptions) -> None:
        smaller = min(self.sampling.num_images, counts.test)
        if self.evaluation.kid_subset_size > smaller:
            raise ValueError(
                f"evaluation.kid_subset_size must be at most {smaller}, the smaller of"
                " sampling.num_images and data.counts.test,"
                f" got {self.evaluation.kid_subset_size}"
            )

    def _batches_hold_labeled_images(self, counts: CountsOptions) -> None:
        size = self.training.batch_size
        union = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
        needed = -(-union // counts.labeled_sensitive)
        if self.training.batches == "mixed" and size < needed:
            raise ValueError(
                f"training.batch_size must be at least {needed} with mixed batches, or most hold no"
                f" image of S (one in {needed} images is); write training.batches: stratified for"
                f" smaller ones, got {size}"
            )


def load_parameters(raw: Mapping[str, object]) -> Parameters:
    """Check a parameters mapping; sections may be mappings or options.

    Raises:
        InvalidInput: naming the unknown, missing or out-of-range parameters, a few of them.
    """
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(item) for item in error.errors()]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]
    raise InvalidInput("Bad parameters:\n" + "\n".join(f"  {line}" for line in lines))


def _describe(item: ErrorDetails) -> str:
    location = [str(part) for part in item["loc"]]
    name = ".".join(location)
    if item["type"] == "extra_forbidden":
        return f"{name}: unknown parameter; {_known(location)}"
    message = item["msg"].removeprefix("Value error, ")
    is_section = isinstance(item["input"], Mapping | Options)
    got = "" if is_section or item["type"] == "missing" else f" (got {_shown(item['input'])})"
    return f"{name}: {message}{got}" if name else f"{message}{got}"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python spells no number of more than 4,300 digits
        return "a number of thousands of digits"


def _known(location: list[str]) -> str:
    known = _section_fields(location[:-1])
    close = difflib.get_close_matches(location[-1], known, n=1)
    if close:
        return f"did you mean {'.'.join([*location[:-1], close[0]])}?"
    return f"known: {', '.join(known)}"


def _section_fields(location: list[str]) -> list[str]:
    section: type[Options] = Parameters
    for part in location:
        annotation = section.model_fields[part].annotation
        candidates = (annotation, *typing.get_args(annotation))  # a section, or a section or None
        section = next(
            one for one in candidates if isinstance(one, type) and issubclass(one, Options)
        )
    return list(section.model_fields)
