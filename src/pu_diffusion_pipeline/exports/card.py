"""The model card: a run's records as Markdown, without a path of the machine or a sensitive image.

Only what is named here gets into the card, never a whole record: parameters hold paths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.exports.finished_run import FinishedRun
from pu_diffusion_pipeline.exports.licenses import LICENSES
from pu_diffusion_pipeline.metrics.registry import METRICS, Metric, Record, value_at
from pu_diffusion_pipeline.reports.tables import (
    BY_CLASS,
    has_labels,
    is_estimated,
    per_condition_table,
)
from pu_diffusion_pipeline.reports.text_table import markdown_table

TAGS = ["pytorch", "diffusers", "diffusion-models", "positive-unlabeled-learning"]
ORIGINS = {"estimated": "estimated", "upper": "upper bound of the estimate"}
NO_INTERVAL = "–"
COLUMNS = ["measure", "value", "95 % interval"]


@dataclass(frozen=True)
class CardOptions:
    """What a card says that no run knows.

    Attributes:
        name: what `from_pretrained` is given: a folder or a repository of the hub.
        license_name: licence of the model; None: unknown.
    """

    name: str
    license_name: str | None = None


@dataclass(frozen=True)
class Grid:
    """The picture of samples.

    Attributes:
        shown: samples in it.
        left_out: samples that are not, because the judge took them for sensitive.
    """

    shown: int
    left_out: int

    @classmethod
    def of(cls, sensitive: np.ndarray) -> "Grid":
        """The picture of samples of which (N,) bool are sensitive."""
        left_out = int(sensitive.sum())
        return cls(len(sensitive) - left_out, left_out)


def render_card(run: FinishedRun, pipeline: str, grid: Grid | None, options: CardOptions) -> str:
    """The text of README.md.

    Args:
        run: the model and what is known about it.
        pipeline: name of the diffusers pipeline in the folder.
        grid: None if there are no judged samples.
        options: name and licence.
    """
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("card.md.jinja").render(
        front_matter=front_matter(run, options.license_name),
        run=run,
        facts=METHODS[run.method],
        cleaned="cleaning" in METHODS[run.method].sections,
        parameters=run.parameters,
        pipeline=pipeline,
        grid=grid,
        has_labels=run.metrics is None or has_labels(run.metrics),
        is_estimated=run.metrics is not None and is_estimated(run.metrics),
        options=options,
        beta=_beta(run),
        training=list(_training(run)),
        numbers=None if run.metrics is None else markdown_table(_numbers(run.metrics)),
        by_class=None if run.metrics is None else _by_class(run.metrics),
    )


def front_matter(run: FinishedRun, license_name: str | None) -> str:
    """The YAML at the top, which the hub reads.

    Args:
        run: the model.
        license_name: an identifier of the hub, such as apache-2.0, or any text; None: unknown.
    """
    from huggingface_hub import ModelCardData

    license_id = (license_name or "unknown").lower()
    is_known = license_id in LICENSES  # the hub asks for other ones in two fields
    is_conditional = run.parameters.data.num_conditions is not None
    data = ModelCardData(
        license=license_id if is_known else "other",
        library_name="diffusers",
        tags=[*TAGS, run.method],
        base_model=run.hub_base,
        pipeline_tag=None if is_conditional else "unconditional-image-generation",
    )
    if not is_known:
        data.license_name = license_name
    return data.to_yaml()


def _beta(run: FinishedRun) -> str | None:
    """The beta of training and where it came from; None if the method uses none."""
    chosen, asked = run.manifest["beta"], run.parameters.beta
    if chosen is None:
        return None
    if not METHODS[run.method].uses_beta:
        return f"{chosen['value']:.4g} ({chosen['source']})"
    if not isinstance(asked, str):
        return f"{chosen['value']:.4g} (given)"
    return f"{chosen['value']:.4g} ({ORIGINS[asked]}; {chosen['source']})"


def _training(run: FinishedRun) -> Iterator[tuple[str, str]]:
    """Settings that matter, by their names for readers."""
    manifest, parameters = run.manifest, run.parameters
    training, objective, noise = parameters.training, parameters.objective, parameters.noise
    yield "start", _start(run)
    yield "denoiser", f"UNet2DModel with {manifest['num_parameters']:,} parameters"
    if "cleaning" in METHODS[run.method].sections:
        least = parameters.cleaning.probability
        yield "left out of U", f"images that are sensitive with a probability of {least:g} or more"
    if METHODS[run.method].weighs:
        yield "weights of U", "the probability of each image of being normal, by a classifier"
    yield "steps", f"{manifest['num_steps']:,} of {training.batch_size} images"
    yield "batches", training.batches
    yield "learning rate", f"{training.learning_rate:g} (AdamW)"
    if training.muon_learning_rate is not None:
        yield "learning rate of the matrices", f"{training.muon_learning_rate:g} (Muon)"
    yield "averaged weights", _or_none(training.ema_decay)
    yield "noise", f"{noise.num_train_timesteps} time steps, {noise.schedule} schedule"
    yield "prediction", noise.prediction_type
    yield "error", f"{objective.reduction} over pixels of the {objective.error_space} error"
    if METHODS[run.method].beta is not None:
        yield "correction of the risk", objective.correction
    if METHODS[run.method].uses_gamma:
        yield "gamma", f"{objective.gamma:g}"
    if METHODS[run.method].uses_mixing:
        yield "mixing", f"{objective.mixing:g}"
    if parameters.data.num_conditions is not None:
        yield "conditions left out", f"{training.condition_dropout:g} of them"
    yield "seed", str(manifest["seed"])
    yield "computed", f"in {manifest['precision']} on {manifest['device']}"
    yield "sha256 of the weights", f"`{manifest['weights_digest']}`"


def _start(run: FinishedRun) -> str:
    if run.parameters.pretrained is None:
        return "random weights"
    return f"fine-tuned from {run.hub_base or 'a model in a local folder'}"


def _or_none(decay: float | None) -> str:
    return "none" if decay is None else f"decay {decay:g}"


def _numbers(metrics: Record) -> pd.DataFrame:
    """Every metric with its interval, as text."""
    extractor = metrics["fidelity"]["extractor"]
    rows = [_row(column, metric, metrics, extractor) for column, metric in METRICS.items()]
    rate, nsr = metrics["non_sensitive_rate"], METRICS["nsr"]
    if not has_labels(metrics):
        return pd.DataFrame(rows, columns=COLUMNS)
    ends = (rate["corrected_low"], rate["corrected_high"])
    corrected = ("corrected for the judge's errors", nsr.text(rate["corrected"]))
    rows.insert(1, (*corrected, " – ".join(nsr.text(end) for end in ends)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(column: str, metric: Metric, metrics: Record, extractor: str) -> tuple[str, str, str]:
    ends = [metric.related.get(f"{column}_{end}") for end in ("low", "high")]
    interval = [metric.text(value_at(metrics, path)) for path in ends if path is not None]
    value = metric.text(value_at(metrics, metric.path))
    return metric.heading_on(extractor), value, " – ".join(interval) or NO_INTERVAL


def _by_class(metrics: Record) -> str | None:
    """The rate among the samples of each requested class."""
    table = per_condition_table([metrics])
    return None if table is None else f"{BY_CLASS}\n\n{markdown_table(table)}"
