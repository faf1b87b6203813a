"""The pipelines a user can name. Explicit, because names such as `train_pu` are made of parts."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.pipelines import (
    classifier,
    data_engineering,
    evaluation,
    prior_estimation,
    reporting,
    sampling,
    training,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Name to pipeline. `train_*`, `pretrain`, `prior_estimation` and `train_classifier` include what they need;
    `sample*`, `evaluate*`, `report` and `summarize` start from what is saved.
    """  # fmt: skip
    data, prior, judge = (part.create_pipeline() for part in (data_engineering, prior_estimation, classifier))
    initial, pretrain = training.create_initial_pipeline(), training.create_pretraining_pipeline()
    upstream = data + prior + initial + data_engineering.create_oracle_pipeline()
    reference = evaluation.create_reference_pipeline()
    train = {name: training.create_pipeline(name, method) for name, method in METHODS.items() if method.trains}
    sample = {name: sampling.create_pipeline(name, method.trains) for name, method in METHODS.items()}
    evaluate = {name: evaluation.create_pipeline(name) for name in METHODS}

    def with_what_it_needs(pipeline: Pipeline) -> Pipeline:
        return (upstream + pipeline).to_outputs(*pipeline.outputs())

    def everything(methods: Iterable[str]) -> Pipeline:
        methods = list(methods)
        trained = [train[name] for name in methods if name in train]
        stages = [*trained, *(sample[name] for name in methods), *(evaluate[name] for name in methods)]
        return data + prior + initial + judge + reference + _sum(stages) + reporting.create_pipeline(methods)

    return {
        "data_engineering": data,
        "prior_estimation": with_what_it_needs(prior),
        "train_classifier": with_what_it_needs(judge),
        "pretrain": with_what_it_needs(pretrain),
        **{f"train_{name}": with_what_it_needs(pipeline) for name, pipeline in train.items()},
        "train": with_what_it_needs(_sum(train[name] for name in DEFAULT_METHODS)),
        **{f"sample_{name}": pipeline if name in train else initial + pipeline for name, pipeline in sample.items()},
        "sample": _sum(sample[name] for name in DEFAULT_METHODS),
        **{f"evaluate_{name}": reference + pipeline for name, pipeline in evaluate.items()},
        "evaluate": reference + _sum(evaluate[name] for name in DEFAULT_METHODS),
        "report": reporting.create_pipeline(DEFAULT_METHODS),
        "summarize": reporting.create_summary_pipeline(),
        "figure1": reporting.create_figure1_pipeline(),
        "figure4": reporting.create_figure4_pipeline(),
        "finetune": everything(["pretrained", *DEFAULT_METHODS]),
        "__default__": everything(DEFAULT_METHODS),
    }


def _sum(pipelines: Iterable[Pipeline]) -> Pipeline:
    return sum(pipelines, Pipeline([]))


def pipeline_names() -> list[str]:
    """The names, for messages."""
    return sorted(register_pipelines())
