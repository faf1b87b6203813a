"""The pipelines a user can name. Explicit, because names such as `train_pu` are made of parts.

A few depend on parameters: with `beta: estimated` they include the class prior, with `watch.every`
the judge, without labels no ground truth, and with `relearning.in_report` the relearning check.
Those forms are registered with suffixes, such as `<name>.blind.estimated`;
`session.ExperimentSession` chooses among them.
"""

import itertools
import warnings
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from typing import NamedTuple

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.diffusion.methods import (
    DEFAULT_METHODS,
    FRONTIER,
    METHODS,
    RECOMMENDED,
    models_of,
)
from pu_diffusion_pipeline.pipelines import (
    classifier,
    data_engineering,
    evaluation,
    prior_estimation,
    relearning,
    reporting,
    sampling,
    second_judge,
    sensitivity,
    training,
)

BLIND = ".blind"
ESTIMATED = ".estimated"
WATCHED = ".watched"
RELEARNED = ".relearned"


class Form(NamedTuple):
    """What the pipelines depend on.

    Attributes:
        is_blind: no labels say which images are sensitive.
        is_estimated: beta comes from the class prior.
        is_watched: the judge looks at samples during training.
        is_relearned: the report shows the relearning check.
    """

    is_blind: bool = False
    is_estimated: bool = False
    is_watched: bool = False
    is_relearned: bool = False

    @property
    def suffix(self) -> str:
        """What the names of its pipelines end with."""
        suffixes = (BLIND, ESTIMATED, WATCHED, RELEARNED)
        return "".join(one for one, is_so in zip(suffixes, self, strict=True) if is_so)


# Each after those whose suffixes are some of its own. Watching needs labels.
FORMS = tuple(
    Form(*flags)
    for flags in itertools.product((False, True), repeat=len(Form._fields))
    if not (Form(*flags).is_blind and Form(*flags).is_watched)
)


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
        pipelines: dict[str, Pipeline] = {}
        for form in FORMS:
            pipelines |= {
                name + form.suffix: pipeline
                for name, pipeline in _pipelines(form).items()
                if _is_new(name, pipeline, form, pipelines)
            }
    return pipelines


def _is_new(name: str, pipeline: Pipeline, form: Form, known: dict[str, Pipeline]) -> bool:
    """Whether the form differs from the ones with fewer suffixes."""
    simpler = [other for other in FORMS if other != form and _is_part(other, form)]
    names = [name + other.suffix for other in simpler]
    return all(set(pipeline.nodes) != set(known[one].nodes) for one in names if one in known)


def _is_part(form: Form, of: Form) -> bool:
    return all(one <= other for one, other in zip(form, of, strict=True))


def _pipelines(form: Form) -> dict[str, Pipeline]:
    parts = _Parts(form)
    needs = parts.with_what_it_needs
    defaults = DEFAULT_METHODS
    return {
        "data_engineering": parts.data,
        "data_report": needs(parts.prior + parts.data_report),
        "prior_estimation": needs(parts.prior),
        "train_classifier": needs(parts.judge),
        "review": needs(parts.sensitivity + parts.review),
        "reference_features": parts.reference,
        "pretrain": needs(training.create_pretraining_pipeline()),
        **{f"train_{name}": needs(pipeline) for name, pipeline in parts.train.items()},
        "train": needs(_sum(parts.train[name] for name in defaults)),
        **{f"sample_{name}": parts.sample_saved(name) for name in METHODS},
        "sample": _sum(parts.sample[name] for name in defaults),
        **{f"evaluate_{name}": pipeline for name, pipeline in parts.evaluate.items()},
        "evaluate": _sum(parts.evaluate[name] for name in defaults),
        **{f"second_opinion_{name}": one for name, one in parts.opinion.items()},
        "report": parts.report(defaults),
        **{f"relearn_{name}": pipeline for name, pipeline in parts.relearn.items()},
        "relearn": parts.relearn["pu"] + _report(relearning.create_page_pipeline),
        "summarize": _report(reporting.create_summary_pipeline),
        "figure1": _report(reporting.create_figure1_pipeline, form.is_blind),
        "figure4": _report(reporting.create_figure4_pipeline, form.is_blind),
        "methods": parts.methods(),
        "frontier": parts.frontier(),
        "frontier_figure": _report(reporting.create_frontier_pipeline, form.is_blind),
        "recommended": parts.everything(RECOMMENDED),
        "recommended_report": parts.report(RECOMMENDED),
        "finetune": parts.everything(["pretrained", *defaults]),
        "__default__": parts.everything(defaults),
    }


class _Parts:
    """The pipelines that the registered ones are made of."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.data = _box("data_engineering", data_engineering.create_pipeline, form.is_blind)
        self.data_report = data_engineering.create_report_pipeline()
        self.prior = _box("prior_estimation", prior_estimation.create_pipeline)
        beta = _box("prior_estimation", prior_estimation.create_beta_pipeline, form.is_estimated)
        self.initial = training.create_initial_pipeline()
        self.start = _sum([self.data, self.prior, beta, self.initial])
        self.sensitivity = _box("estimating_sensitivity", sensitivity.create_pipeline)
        cleaning = _box("estimating_sensitivity", sensitivity.create_cleaning_pipeline)
        self.review = _box("estimating_sensitivity", sensitivity.create_review_pipeline)
        oracle = _box("data_engineering", data_engineering.create_oracle_pipeline)
        self.sources = _sum([self.start, oracle, self.sensitivity, cleaning])
        self.judge = _box("judging", classifier.create_pipeline, form.is_blind)
        self.reference = _box("judging", classifier.create_reference_pipeline, form.is_blind)
        if form.is_blind:
            self.judge += self.sensitivity
        self.train = self.trainings()
        self.sample = {name: _sampling(name) for name in METHODS}
        self.evaluate = {name: _evaluation(name, form.is_blind) for name in METHODS}
        self.opinion = {name: _second_opinion(name) for name in METHODS}
        self.relearn = {name: _relearning(name, form.is_blind) for name in self.train}

    def trainings(self, after: str | None = None) -> dict[str, Pipeline]:
        return {
            name: _training(name, self.form.is_watched, after)
            for name, method in METHODS.items()
            if method.trains
        }

    def frontier(self) -> Pipeline:
        """Without labels: no `oracle`, and nothing that the judge has cleaned or filtered."""
        methods = [
            name
            for name in FRONTIER
            if not self.form.is_blind
            or not (METHODS[name].is_reference or "sensitivity" in METHODS[name].sections)
        ]
        rest = [] if self.form.is_blind else [self.opinion[name] for name in methods]
        create = reporting.create_frontier_pipeline
        gathered = _report(create, self.form.is_blind, tuple(methods))
        return self.with_what_it_needs(_sum([self.measured(methods), *rest, gathered]))

    def methods(self) -> Pipeline:
        """Every method to its metrics: the graph that a sweep takes its parts from."""
        methods = [
            name
            for name, method in METHODS.items()
            if not (self.form.is_blind and method.is_reference)
        ]
        return self.with_what_it_needs(self.measured(methods))

    def measured(self, methods: Iterable[str]) -> Pipeline:
        """The judge, and the methods with the models they draw from; not what these need."""
        methods = list(methods)
        trained = [self.train[name] for name in models_of(methods)]
        rest = [self.sample[name] + self.evaluate[name] for name in methods]
        return _sum([self.judge, *trained, *rest])

    def with_what_it_needs(self, pipeline: Pipeline) -> Pipeline:
        return _sum([self.sources, pipeline]).to_outputs(*pipeline.outputs())

    def sample_saved(self, name: str) -> Pipeline:
        starts = name not in self.train and not METHODS[name].draws_from
        return self.initial + self.sample[name] if starts else self.sample[name]

    def everything(self, methods: Iterable[str]) -> Pipeline:
        """Without labels nobody has seen what the folder holds: its page comes first."""
        methods = list(methods)
        train = self.trainings(after="data_report") if self.form.is_blind else self.train
        trained = [train[name] for name in models_of(methods)]
        sampled = [self.sample[name] for name in methods]
        evaluated = [self.evaluate[name] for name in methods]
        parts = [self.start, self.judge, *trained, *sampled, *evaluated, self.report(methods)]
        if self.form.is_blind:
            parts += [self.data_report, self.review]
        if self.form.is_relearned:
            parts += [self.relearn["pu"], _report(relearning.create_page_pipeline)]
        return self.with_what_it_needs(_sum(parts))

    def report(self, methods: Iterable[str]) -> Pipeline:
        form = self.form
        create = reporting.create_pipeline
        return _report(create, tuple(methods), form.is_blind, form.is_relearned)


# Made once, for all forms that share them.
@cache
def _training(name: str, is_watched: bool, after: str | None) -> Pipeline:
    made = training.create_pipeline(name, METHODS[name], is_watched, after)
    return _tagged(made, name, "training")


@cache
def _sampling(name: str) -> Pipeline:
    return _tagged(sampling.create_pipeline(name, METHODS[name]), name, "sampling")


@cache
def _evaluation(name: str, is_blind: bool) -> Pipeline:
    return _tagged(evaluation.create_pipeline(name, is_blind), name, "evaluation")


@cache
def _second_opinion(name: str) -> Pipeline:
    opinion = _tagged(second_judge.create_opinion_pipeline(name), name, "evaluation")
    return _box("judging", second_judge.create_pipeline) + opinion


@cache
def _relearning(name: str, is_blind: bool) -> Pipeline:
    return _tagged(relearning.create_pipeline(name, is_blind), name, "relearning")


@cache
def _box(name: str, create: Callable[..., Pipeline], *arguments: Hashable) -> Pipeline:
    """What `create` makes, its nodes in a box of kedro-viz, and under a tag, of this name."""
    return Pipeline(
        create(*arguments), namespace=name, prefix_datasets_with_namespace=False, tags=name
    )


def _tagged(pipeline: Pipeline, *tags: str) -> Pipeline:
    return Pipeline(pipeline, tags=tags)


def _report(create: Callable[..., Pipeline], *arguments: Hashable) -> Pipeline:
    return _box("reporting", create, *arguments)


def _sum(pipelines: Iterable[Pipeline]) -> Pipeline:
    """At once: Kedro's + checks and sorts all nodes again for each part."""
    nodes = (node for pipeline in pipelines for node in pipeline.nodes)
    return Pipeline(list(dict.fromkeys(nodes)))


def pipeline_names() -> list[str]:
    """The names that users type, for messages."""
    return sorted(name for name in register_pipelines() if "." not in name)
