"""Tables, figures and the report page over the methods."""

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.pipelines.reporting import nodes


def create_pipeline(methods: Iterable[str]) -> Pipeline:
    """From each method's metrics, samples and curves to the report."""
    methods = list(methods)

    def each(name: str) -> list[str]:
        return [f"{method}.{name}" for method in methods]

    return Pipeline(
        [
            Node(
                nodes.tabulate_metrics,
                ["parameters", *each("metrics")],
                ["comparison", "comparison_markdown"],
                name="tabulate_metrics",
            ),
            Node(nodes.draw_samples, [*each("samples"), *each("judgements")], "samples_figure", name="draw_samples"),
            Node(nodes.draw_curves, each("training_history"), "curves_figure", name="draw_curves"),
            Node(
                nodes.render_report,
                [
                    *("comparison", "class_prior", "oracle_unlabeled", "judge_report", "parameters"),
                    *each("training_history"),
                    *each("samples"),
                    *each("judgements"),
                    *each("training_manifest"),
                ],
                "report",
                name="render_report",
            ),
        ]
    )
