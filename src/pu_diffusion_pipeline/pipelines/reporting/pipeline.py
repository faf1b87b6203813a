"""Tables, figures and the report of a run, and the summary of all runs of the benchmark."""

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from pu_diffusion_pipeline.diffusion.methods import models_of
from pu_diffusion_pipeline.pipelines.reporting import nodes
from pu_diffusion_pipeline.steps import step

SECTIONS = ("samples", "classes", "beta", "given", "class_prior", "frontier")  # of the report


def create_summary_pipeline(after: Iterable[str] = ()) -> Pipeline:
    """From the metrics of every finished run of the benchmark to `runs` and `summary`.

    Args:
        after: methods whose metrics must be there before the runs are gathered.
    """
    summarize = step(
        nodes.summarize_runs,
        {
            "all_metrics": "all_metrics",
            "comparable": "params:comparable",
            "paper_row": "params:paper_row",
            "reporting": "params:reporting",
            **of_each(after, "metrics"),
        },
        ["runs", "summary", "summary_markdown"],
        name="summarize_runs",
    )
    return Pipeline([summarize])


def create_figure1_pipeline(is_blind: bool = False) -> Pipeline:
    """Figure 1 of the paper, from saved sets and samples."""
    figure = step(
        nodes.draw_figure1,
        {
            "unlabeled": "unlabeled_images",
            "labeled_sensitive": "labeled_sensitive_images",
            **truth(is_blind),
            **results_of(["unsupervised", "pu"], "samples", "judgements"),
        },
        ["figure1", "figure1_interactive"],
        name="draw_figure1",
    )
    return Pipeline([figure])


def create_figure4_pipeline(is_blind: bool = False) -> Pipeline:
    """Figure 4 of the paper, from every finished run of the benchmark."""
    figure = step(
        nodes.draw_figure4,
        {"runs": "runs", "class_prior": "class_prior", **truth(is_blind)},
        ["figure4", "figure4_interactive"],
        name="draw_figure4",
    )
    return create_summary_pipeline() + Pipeline([figure])


def create_frontier_pipeline(is_blind: bool = False, after: Iterable[str] = ()) -> Pipeline:
    """Rate against distance, from every finished run of the benchmark.

    Args:
        is_blind: no labels say which images are sensitive: there is no second judge.
        after: methods whose metrics and second opinions must be there before runs are gathered.
    """
    after = list(after)
    given = frontier_inputs(is_blind) | ({} if is_blind else of_each(after, "second_opinion"))
    points = ["frontier_points", "frontier_markdown"]
    tabulate = step(nodes.tabulate_frontier, given, points, name="tabulate_frontier")
    outputs = ["frontier_figure", "frontier_figure_interactive"]
    figure = step(nodes.draw_frontier, "frontier_points", outputs, name="draw_frontier")
    return create_summary_pipeline(after) + Pipeline([tabulate, figure])


def create_pipeline(
    methods: Iterable[str], is_blind: bool = False, is_relearned: bool = False
) -> Pipeline:
    """From each method's metrics, samples and curves to the report.

    Args:
        methods: their names.
        is_blind: no labels say which images are sensitive.
        is_relearned: the report shows `pu.relearning`.
    """
    methods = list(methods)
    tables = step(
        nodes.tabulate_metrics,
        {"benchmark": "params:benchmark", **of_each(methods, "metrics")},
        ["comparison", "comparison_markdown"],
        name="tabulate_metrics",
    )
    samples = step(
        nodes.draw_samples,
        results_of(methods, "samples", "judgements"),
        ["samples_figure", "samples_figure_interactive"],
        name="draw_samples",
    )
    curves = step(
        nodes.draw_curves,
        of_each(models_of(methods), "training_history"),
        "curves_figure",
        name="draw_curves",
    )
    page = create_page_pipeline(methods, is_blind, is_relearned)
    return Pipeline([tables, samples, curves]) + create_summary_pipeline(after=methods) + page


def frontier_inputs(is_blind: bool) -> dict[str, str]:
    """Inputs of a node that compares all methods; without labels there is no second judge."""
    opinions = {} if is_blind else {"all_second_opinions": "all_second_opinions"}
    sections = ("sampling", "guiding", "filtering", "noise")
    given = {"runs": "runs", "all_relearned": "all_relearned", **opinions}
    return given | {name: f"params:{name}" for name in sections}


def create_page_pipeline(methods: Iterable[str], is_blind: bool, is_relearned: bool) -> Pipeline:
    """The report as an HTML page."""
    prior = ("class_prior", "class_prior_methods", "class_prior_scores")
    judge = "sensitivity_report" if is_blind else "judge_report"
    class_prior = step(
        nodes.render_class_prior,
        {**{name: name for name in prior}, **truth(is_blind)},
        "class_prior_section",
        name="render_class_prior",
    )
    frontier = step(
        nodes.render_frontier,
        frontier_inputs(is_blind),
        "frontier_section",
        name="render_frontier",
    )
    report = step(
        nodes.render_report,
        {
            "comparison": "comparison",
            "summary": "summary",
            "paper_row": "params:paper_row",
            "reporting": "params:reporting",
            "judge_report": judge,
            "origin": "params:origin",
            "curves": "curves_figure",
            **{f"sections__{name}": f"{name}_section" for name in SECTIONS},
            **results_of(methods, "metrics"),
            **manifests_of(methods),
            **({"pu__relearning": "pu.relearning"} if is_relearned else {}),
        },
        "report",
        name="render_report_with_relearning" if is_relearned else "render_report",
    )
    return Pipeline([*_sections(methods, is_blind), class_prior, frontier, report])


def _sections(methods: Iterable[str], is_blind: bool) -> list[Node]:
    samples = step(
        nodes.render_samples,
        {"reporting": "params:reporting", **results_of(methods, "samples", "judgements")},
        ["samples_section", "classes_section"],
        name="render_samples",
    )
    given = step(
        nodes.render_given,
        ["unlabeled_images", "labeled_sensitive_images"],
        "given_section",
        name="render_given",
    )
    beta = step(
        nodes.render_beta,
        {"runs": "runs", "class_prior": "class_prior", **truth(is_blind)},
        "beta_section",
        name="render_beta",
    )
    return [samples, given, beta]


def manifests_of(methods: Iterable[str]) -> dict[str, str]:
    """Inputs that tell of the training of the model that each method samples, the main one."""
    return {
        f"{name}__training_manifest": f"{model}.training_manifest"
        for name in methods
        for model in models_of([name])[:1]
    }


def truth(is_blind: bool) -> dict[str, str]:
    """The input that says which images of U are sensitive, where somebody knows."""
    return {} if is_blind else {"oracle_unlabeled": "oracle_unlabeled"}


def of_each(methods: Iterable[str], artifact: str) -> dict[str, str]:
    """Inputs of a node that needs one artifact of each method: `{"pu": "pu.metrics"}`."""
    return {name: f"{name}.{artifact}" for name in methods}


def results_of(methods: Iterable[str], *artifacts: str) -> dict[str, str]:
    """Inputs of a node that needs several of each: `{"pu__samples": "pu.samples", ...}`."""
    return {
        f"{name}__{artifact}": f"{name}.{artifact}" for name in methods for artifact in artifacts
    }
