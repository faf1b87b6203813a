"""The pipelines a user can name. Explicit, because names such as `train_pu` are made of parts."""

from kedro.pipeline import Pipeline

from pu_diffusion_pipeline.parameters import METHODS
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
    """Name to pipeline. `train_*`, `prior_estimation` and `train_classifier` include the data they need; `sample*`,
    `evaluate*` and `report` start from what is saved.
    """  # fmt: skip
    data, prior, judge = (part.create_pipeline() for part in (data_engineering, prior_estimation, classifier))
    reference, report = evaluation.create_reference_pipeline(), reporting.create_pipeline(METHODS)
    train = {name: training.create_pipeline(name, method.uses_beta) for name, method in METHODS.items()}
    sample = {name: sampling.create_pipeline(name) for name in METHODS}
    evaluate = {name: evaluation.create_pipeline(name) for name in METHODS}

    def with_what_it_needs(pipeline: Pipeline) -> Pipeline:
        return (data + prior + pipeline).to_outputs(*pipeline.outputs())

    return {
        "data_engineering": data,
        "prior_estimation": with_what_it_needs(prior),
        "train_classifier": with_what_it_needs(judge),
        **{f"train_{name}": with_what_it_needs(pipeline) for name, pipeline in train.items()},
        "train": with_what_it_needs(_sum(train.values())),
        **{f"sample_{name}": pipeline for name, pipeline in sample.items()},
        "sample": _sum(sample.values()),
        **{f"evaluate_{name}": reference + pipeline for name, pipeline in evaluate.items()},
        "evaluate": reference + _sum(evaluate.values()),
        "report": report,
        "__default__": data + prior + judge + reference + _sum([*train.values(), *sample.values()])
        + _sum(evaluate.values()) + report,
    }  # fmt: skip


def _sum(pipelines: object) -> Pipeline:
    return sum(pipelines, Pipeline([]))  # type: ignore[call-overload]


def pipeline_names() -> list[str]:
    """The names, for messages."""
    return sorted(register_pipelines())
