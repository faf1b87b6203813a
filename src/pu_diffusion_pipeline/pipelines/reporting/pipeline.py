"""Tables, figures and the report page over the methods of a run, and the summary of all runs of the benchmark."""

from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.methods import METHODS
from pu_diffusion_pipeline.pipelines.reporting import nodes


def create_summary_pipeline(after: Iterable[str] = ()) -> Pipeline:
    """From the metrics of every finished run of the benchmark to `runs` and `summary`.

    Args:
        after: data sets that must be there before the runs are gathered.
    """
    return Pipeline(
        [
            Node(
                nodes.summarize_runs,
                ["all_metrics", "parameters", *after],
                ["runs", "summary", "summary_markdown"],
                name="summarize_runs",
            )
        ]
    )


def create_figure1_pipeline() -> Pipeline:
    """Figure 1 of the paper, from saved sets and samples."""
    return Pipeline(
        [
            Node(
                nodes.draw_figure1,
                [
                    *("unlabeled_images", "labeled_sensitive_images", "oracle_unlabeled"),
                    *("unsupervised.samples", "pu.samples", "unsupervised.judgements", "pu.judgements"),
                ],
                ["figure1", "figure1_svg", "figure1_interactive"],
                name="draw_figure1",
            )
        ]
    )


def create_figure4_pipeline() -> Pipeline:
    """Figure 4 of the paper, from every finished run of the benchmark."""
    figure = Node(
        nodes.draw_figure4,
        ["runs", "class_prior", "oracle_unlabeled"],
        ["figure4", "figure4_svg", "figure4_interactive"],
        name="draw_figure4",
    )
    return create_summary_pipeline() + Pipeline([figure])


def create_pipeline(methods: Iterable[str]) -> Pipeline:
    """From each method's metrics, samples and curves to the report."""
    methods = list(methods)
    trained = [name for name in methods if METHODS[name].trains]

    def each(artifact: str, names: list[str] = methods) -> list[str]:
        return [f"{name}.{artifact}" for name in names]

    report = Pipeline(
        [
            Node(
                nodes.tabulate_metrics,
                ["parameters", *each("metrics")],
                ["comparison", "comparison_markdown"],
                name="tabulate_metrics",
            ),
            Node(
                nodes.draw_samples,
                [*each("samples"), *each("judgements")],
                ["samples_figure", "samples_figure_svg", "samples_figure_interactive"],
                name="draw_samples",
            ),
            Node(
                _of(nodes.draw_curves, methods=trained),
                each("training_history", trained),
                "curves_figure",
                name="draw_curves",
            ),
            Node(
                _of(nodes.render_report, methods=methods),
                [
                    *("comparison", "summary", "class_prior", "class_prior_methods", "class_prior_scores"),
                    *("oracle_unlabeled", "judge_report", "parameters"),
                    *each("metrics"),
                    *each("samples"),
                    *each("judgements"),
                    *each("training_history", trained),
                    *each("training_manifest", trained),
                ],
                "report",
                name="render_report",
            ),
        ]
    )
    return report + create_summary_pipeline(each("metrics"))


def _of(node: Callable[..., Any], methods: list[str]) -> Callable[..., Any]:
    return update_wrapper(partial(node, methods=methods), node)
