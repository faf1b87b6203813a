"""The pipelines a user can name. Explicit, because names such as `train_pu` are made of parts.

A few depend on parameters: with `beta: estimated` they include the class prior, with `watch.every`
the judge. Those forms are registered as `<name>.estimated`, `<name>.watched` and
`<name>.estimated.watched`; `session.ExperimentSession` chooses among them.
"""

import warnings
from collections.abc import Iterable
from functools import cache

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.pipelines import (
    classifier,
    data_engineering,
    evaluation,
    prior_estimation,
    reporting,
    sampling,
    training,
)

ESTIMATED = ".estimated"
WATCHED = ".watched"


def register_pipelines() -> dict[str, Pipeline]:
    """Name to pipeline.

    `train_*`, `pretrain`, `prior_estimation` and `train_classifier` include what they need;
    `sample*`, `evaluate*`, `report` and `summarize` start from what is saved.
    """
    return dict(_registered())


@cache
def _registered() -> dict[str, Pipeline]:
    """Made once: Kedro asks for them several times in a run."""
    with warnings.catch_warnings():
        # Kedro's note to users of namespaces: nothing that a user of this project can act on.
        warnings.filterwarnings("ignore", message=r".*dataset names contain '\.' characters.*")
        pipelines = _pipelines(is_estimated=False, is_watched=False)
        for is_estimated, is_watched in [(False, True), (True, False), (True, True)]:
            suffix = ESTIMATED * is_estimated + WATCHED * is_watched
            found = _pipelines(is_estimated, is_watched).items()
            pipelines |= {
                name + suffix: pipeline
                for name, pipeline in found
                if _is_new(name, pipeline, suffix, pipelines)
            }
    return pipelines


def _is_new(name: str, pipeline: Pipeline, suffix: str, known: dict[str, Pipeline]) -> bool:
    """Whether the form differs from the ones with fewer suffixes."""
    simpler = {name, *(name + part for part in (ESTIMATED, WATCHED) if part != suffix)}
    return all(
        set(pipeline.nodes) != set(known[other].nodes) for other in simpler if other in known
    )


def _pipelines(is_estimated: bool, is_watched: bool) -> dict[str, Pipeline]:
    parts = _Parts(is_estimated, is_watched)
    needs = parts.with_what_it_needs
    defaults = DEFAULT_METHODS
    return {
        "data_engineering": parts.data,
        "prior_estimation": needs(parts.prior),
        "train_classifier": needs(parts.judge),
        "reference_features": parts.reference,
        "pretrain": needs(training.create_pretraining_pipeline()),
        **{f"train_{name}": needs(pipeline) for name, pipeline in parts.train.items()},
        "train": needs(_sum(parts.train[name] for name in defaults)),
        **{f"sample_{name}": parts.sample_saved(name) for name in METHODS},
        "sample": _sum(parts.sample[name] for name in defaults),
        **{f"evaluate_{name}": pipeline for name, pipeline in parts.evaluate.items()},
        "evaluate": _sum(parts.evaluate[name] for name in defaults),
        "report": reporting.create_pipeline(defaults),
        "summarize": reporting.create_summary_pipeline(),
        "figure1": reporting.create_figure1_pipeline(),
        "figure4": reporting.create_figure4_pipeline(),
        "finetune": parts.everything(["pretrained", *defaults]),
        "__default__": parts.everything(defaults),
    }


class _Parts:
    """The pipelines that the registered ones are made of."""

    def __init__(self, is_estimated: bool, is_watched: bool) -> None:
        self.data = data_engineering.create_pipeline()
        self.prior = prior_estimation.create_pipeline()
        beta = prior_estimation.create_beta_pipeline(is_estimated)
        self.initial = training.create_initial_pipeline()
        self.start = self.data + self.prior + beta + self.initial
        self.with_oracle = self.start + data_engineering.create_oracle_pipeline()
        self.judge = classifier.create_pipeline()
        self.reference = classifier.create_reference_pipeline()
        self.train = {
            name: training.create_pipeline(name, method, is_watched)
            for name, method in METHODS.items()
            if method.trains
        }
        self.sample = {
            name: sampling.create_pipeline(name, method.trains) for name, method in METHODS.items()
        }
        self.evaluate = {name: evaluation.create_pipeline(name) for name in METHODS}

    def with_what_it_needs(self, pipeline: Pipeline) -> Pipeline:
        return (self.with_oracle + pipeline).to_outputs(*pipeline.outputs())

    def sample_saved(self, name: str) -> Pipeline:
        return self.sample[name] if name in self.train else self.initial + self.sample[name]

    def everything(self, methods: Iterable[str]) -> Pipeline:
        methods = list(methods)
        trained = [self.train[name] for name in methods if name in self.train]
        sampled = [self.sample[name] for name in methods]
        evaluated = [self.evaluate[name] for name in methods]
        parts = _sum([self.judge, *trained, *sampled, *evaluated])
        return self.start + parts + reporting.create_pipeline(methods)


def _sum(pipelines: Iterable[Pipeline]) -> Pipeline:
    return sum(pipelines, Pipeline([]))


def pipeline_names() -> list[str]:
    """The names that users type, for messages."""
    return sorted(name for name in register_pipelines() if "." not in name)
