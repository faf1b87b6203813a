"""Options of training and of watching it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pu_diffusion_pipeline.images.options import is_conditional
from pu_diffusion_pipeline.options import (
    NEUTRAL,
    Count,
    Fraction,
    Options,
    Positive,
    left_out_at,
    matters_if,
    single_message,
)


class TrainingOptions(Options):
    """Optimisation; the length is given either in steps or in epochs over U and S."""

    batch_size: Annotated[int, Field(ge=2, le=10**9)]
    batches: Literal["stratified", "mixed"]
    timesteps: Literal["stratified", "independent"]  # noising.TIMESTEPS, which needs torch
    num_steps: Positive | None
    num_epochs: Positive | None
    learning_rate: Annotated[float, Field(gt=0)]
    muon_learning_rate: Annotated[Annotated[float, Field(gt=0)] | None, left_out_at(None)]
    weight_decay: Annotated[float, Field(ge=0)]
    adam_betas: tuple[Fraction, Fraction]
    warmup_steps: Count
    max_grad_norm: Annotated[float, Field(gt=0)]
    ema_decay: Fraction | None
    condition_dropout: Annotated[Fraction, matters_if(is_conditional)]
    micro_batches: Annotated[Positive, NEUTRAL]
    num_processes: Annotated[
        Positive | Literal["external"],
        single_message("must be a whole number from 1 on, or 'external'"),
        NEUTRAL,
    ]
    engine: Annotated[Literal["local", "ray"], NEUTRAL]
    log_every: Annotated[Positive, NEUTRAL]
    checkpoint_every: Annotated[Positive, NEUTRAL]

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, raw: object) -> object:
        if isinstance(raw, Mapping) and "accumulation" in raw:
            raise ValueError("accumulation is called micro_batches now; rename it")
        return raw

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingOptions":
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError("give num_steps or num_epochs and set the other one to null")
        if self.checkpoint_every % self.log_every:
            raise ValueError(f"checkpoint_every must be a multiple of log_every ({self.log_every})")
        return self

    @model_validator(mode="after")
    def _one_launcher(self) -> "TrainingOptions":
        if self.engine == "ray" and self.num_processes == "external":
            raise ValueError(
                "engine ray starts the processes, so num_processes must be a number, got external"
            )
        return self

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> "TrainingOptions":
        processes = 1 if self.num_processes == "external" else self.num_processes
        if self.batch_size % (processes * self.micro_batches):
            raise ValueError(
                f"num_processes x micro_batches must divide batch_size ({self.batch_size}), "
                f"which they share, got {processes} x {self.micro_batches}"
            )
        return self


class PretrainingOptions(TrainingOptions):
    """Training of the stand-in for a published model, which fine-tuning then starts from."""

    seed: Count


class WatchOptions(Options):
    """A look at the model while it trains, by the judge."""

    every: Positive | None
    num_images: Annotated[int, Field(ge=2)]
    keep: Literal["last", "best", "all"]
    criterion: Literal["frechet_distance", "non_sensitive_rate"]


class TrackingOptions(Options):
    """Where else curves and results go; what a run makes is the same."""

    tensorboard: Annotated[bool, NEUTRAL]
    mlflow_model: Annotated[bool, NEUTRAL]


class RelearningOptions(Options):
    """Fine-tuning of a trained model on U, to see how fast sensitive images come back."""

    in_report: Annotated[bool, NEUTRAL]
    num_steps: Positive
    every: Positive
    num_images: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _has_a_look_at_the_end(self) -> "RelearningOptions":
        if self.num_steps % self.every:
            raise ValueError(f"every must divide num_steps ({self.num_steps}), got {self.every}")
        return self
