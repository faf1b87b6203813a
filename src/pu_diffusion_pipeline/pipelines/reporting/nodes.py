"""Nodes of reporting.

Inputs that exist once per method come as keywords: `<method>` where a node needs one artifact of
each method, `<method>__<artifact>` where it needs several; `sections__<name>` is a part of a page.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS
from pu_diffusion_pipeline.diffusion.options import GuidingOptions, NoiseOptions, SamplingOptions
from pu_diffusion_pipeline.experiment.commands import missing_commands, missing_lines
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.positive_unlabeled.options import FilteringOptions
from pu_diffusion_pipeline.reports import tables
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.origin import Origin
from pu_diffusion_pipeline.reports.runs import baseline_of, over_beta, select_runs, summarize
from pu_diffusion_pipeline.reports.summary import show_summary, summary_markdown
from pu_diffusion_pipeline.reports.text_table import show_table

if TYPE_CHECKING:  # Matplotlib is imported by the nodes that draw
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as PlotlyFigure

    from pu_diffusion_pipeline.reports.figures import Panel

log = logging.getLogger(__name__)


def tabulate_metrics(benchmark: str, **metrics: Record) -> tuple[pd.DataFrame, str]:
    """Put the metrics of each method into one table."""
    records = list(metrics.values())
    comparison = tables.comparison_table(records)
    tables.show_comparison(comparison, benchmark)
    by_class = tables.per_condition_table(records)
    return comparison, tables.comparison_markdown(comparison, by_class)


def summarize_runs(
    all_metrics: Mapping[str, Record],
    comparable: Mapping[str, Mapping[str, object]],
    paper_row: str | None,
    reporting: ReportingOptions,
    **finished: Record,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Gather every finished run that differs in seed and beta alone, with means and tests."""
    runs, left_out = select_runs(all_metrics, comparable)
    summary = summarize(runs, reporting)
    if len(runs) > len(finished):  # else the table of methods says the same
        show_summary(summary, paper_row)
    missing = missing_commands(runs, comparable)
    for line in missing_lines(missing, comparable):
        log.info("%s", line)
    text = summary_markdown(summary, paper_row, reporting, missing.values(), left_out)
    return runs, summary, text


def draw_figure1(
    unlabeled: ImageSet,
    labeled_sensitive: ImageSet,
    oracle_unlabeled: pd.DataFrame | None = None,
    **results: Any,
) -> tuple["Figure", "PlotlyFigure"]:
    """Draw Figure 1: U, S, and samples of unsupervised and PU training, sensitive ones framed."""
    judged = _judged_samples(results)
    truth = None if oracle_unlabeled is None else oracle_unlabeled["is_sensitive"].to_numpy()
    panels: dict[str, Panel] = {
        "U, unlabeled": (unlabeled.images, truth),
        "S, labeled sensitive": (labeled_sensitive.images, None),
        "unsupervised": judged["unsupervised"],
        "PU": judged["pu"],
    }
    return _drawn({title: _first(panel, 64) for title, panel in panels.items()}, columns=8)


def draw_figure4(
    runs: pd.DataFrame, class_prior: Record, oracle_unlabeled: pd.DataFrame | None = None
) -> tuple["Figure", "PlotlyFigure"]:
    """Draw Figure 4: the metrics against beta, with the true and the estimated share marked."""
    from pu_diffusion_pipeline.reports.figures import beta_curves
    from pu_diffusion_pipeline.reports.interactive import interactive_beta_curves

    shown = (over_beta(runs), _marks(class_prior, oracle_unlabeled), baseline_of(runs))
    return beta_curves(*shown), interactive_beta_curves(*shown)


def _marks(class_prior: Record, oracle_unlabeled: pd.DataFrame | None) -> dict[str, float]:
    """Label to a beta that the figure marks."""
    marks = {"true share": _true_share(oracle_unlabeled), "estimate": class_prior["estimate"]}
    return {name: share for name, share in marks.items() if share is not None}


def render_beta(
    runs: pd.DataFrame, class_prior: Record, oracle_unlabeled: pd.DataFrame | None = None
) -> str:
    """Draw Figure 4 for the report; it needs runs of PU with at least two betas."""
    from pu_diffusion_pipeline.reports.figure_files import figure_section, to_svg
    from pu_diffusion_pipeline.reports.figures import beta_curves

    given = pd.to_numeric(runs["beta"][runs["method"] == "pu"], errors="coerce")
    if given.nunique() < 2:
        return ""
    marks = _marks(class_prior, oracle_unlabeled)
    svg = to_svg(beta_curves(over_beta(runs), marks, baseline_of(runs)))
    return figure_section(svg, "Non-sensitive rate and Frechet distance against beta")


def tabulate_frontier(
    runs: pd.DataFrame, all_relearned: Mapping[str, Record], **given: Any
) -> tuple[pd.DataFrame, str]:
    """Compare what each method prevents and what it costs.

    `given`: as `_frontier_points` takes it, and second opinions that must be there before.
    """
    from pu_diffusion_pipeline.reports.frontier import dispensable, frontier_table

    points = _frontier_points(runs, all_relearned, **given)
    table = frontier_table(points)
    show_table(table.rows, "What each method prevents and what it costs", dispensable(table.rows))
    return points, table.to_markdown()


def render_frontier(runs: pd.DataFrame, all_relearned: Mapping[str, Record], **given: Any) -> str:
    """Write the report's section on all methods, where more were run than those of the report."""
    from pu_diffusion_pipeline.reports.page import render_frontier

    if set(runs["method"]) <= set(DEFAULT_METHODS):
        return ""
    return render_frontier(_frontier_points(runs, all_relearned, **given))


def _frontier_points(
    runs: pd.DataFrame,
    all_relearned: Mapping[str, Record],
    *,
    sampling: SamplingOptions,
    guiding: GuidingOptions,
    filtering: FilteringOptions,
    noise: NoiseOptions,
    all_second_opinions: Mapping[str, Record] | None = None,
    **finished: Record,
) -> pd.DataFrame:
    from pu_diffusion_pipeline.reports.frontier import CallsPerImage, frontier_points, with_checks

    checked = with_checks(runs, all_second_opinions or {}, all_relearned)
    return frontier_points(checked, CallsPerImage(sampling, guiding, filtering, noise))


def draw_frontier(points: pd.DataFrame) -> tuple["Figure", "PlotlyFigure"]:
    """Draw the non-sensitive rate of every method against its distance to real images."""
    from pu_diffusion_pipeline.reports.frontier import frontier_figure, interactive_frontier

    return frontier_figure(points), interactive_frontier(points)


def draw_samples(**results: Any) -> tuple["Figure", "PlotlyFigure"]:
    """Draw Figures 2 and 3: the first samples of each method, those judged sensitive framed."""
    from pu_diffusion_pipeline.reports.figures import sample_panels

    return _drawn(sample_panels(_judged_samples(results)), columns=10)


def draw_curves(**histories: pd.DataFrame) -> "Figure":
    """Draw the loss and the risks over the training steps."""
    from pu_diffusion_pipeline.reports.figures import training_curves

    return training_curves(histories)


def render_class_prior(
    class_prior: Record,
    class_prior_methods: pd.DataFrame,
    class_prior_scores: pd.DataFrame,
    oracle_unlabeled: pd.DataFrame | None = None,
) -> str:
    """Write the report's section on the share of sensitive images in U."""
    from pu_diffusion_pipeline.reports.page import render_class_prior

    true_share = _true_share(oracle_unlabeled)
    return render_class_prior(class_prior, class_prior_methods, class_prior_scores, true_share)


def _true_share(oracle_unlabeled: pd.DataFrame | None) -> float | None:
    """Of sensitive images in U, where labels say it."""
    return None if oracle_unlabeled is None else float(oracle_unlabeled["is_sensitive"].mean())


def render_report(
    comparison: pd.DataFrame,
    summary: pd.DataFrame,
    paper_row: str | None,
    reporting: ReportingOptions,
    judge_report: Record,
    origin: Origin,
    curves: Mapping[str, bytes],
    **results: Any,
) -> str:
    """Write the report, one HTML page that needs no other file."""
    from pu_diffusion_pipeline.reports import page

    shown = page.Tables(comparison, summary, paper_row, reporting)
    parts = _by_method(results)
    sections = page.Sections(**parts.pop("sections"))
    methods = {name: page.MethodResult(**given) for name, given in parts.items()}
    date = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    return page.render_page(shown, judge_report, sections, curves, methods, origin, date)


def render_samples(reporting: ReportingOptions, **results: Any) -> tuple[str, str]:
    """Write the report's grids of samples, and count how many show each class."""
    from pu_diffusion_pipeline.reports import samples

    shown = samples.render_samples(_judged_samples(results), is_blurred=reporting.blur_sensitive)
    judgements = {name: parts["judgements"] for name, parts in _by_method(results).items()}
    return shown, samples.render_classes(judgements)


def render_given(unlabeled: ImageSet, labeled_sensitive: ImageSet) -> str:
    """Show examples of U and of S in the report."""
    from pu_diffusion_pipeline.reports import samples

    return samples.render_given(unlabeled.images, labeled_sensitive.images)


def _by_method(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"pu__samples": images}` to `{"pu": {"samples": images}}`."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in results.items():
        method, _, artifact = name.partition("__")
        found.setdefault(method, {})[artifact] = value
    return found


def _judged_samples(results: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Method to its images and which of them are judged sensitive."""
    return {
        name: (parts["samples"].images, parts["judgements"]["judged_sensitive"].to_numpy())
        for name, parts in _by_method(results).items()
    }


def _first(panel: "Panel", count: int) -> "Panel":
    images, framed = panel
    return images[:count], None if framed is None else framed[:count]


def _drawn(panels: Mapping[str, "Panel"], columns: int) -> tuple["Figure", "PlotlyFigure"]:
    from pu_diffusion_pipeline.reports.figures import image_panels
    from pu_diffusion_pipeline.reports.interactive import interactive_panels

    return image_panels(panels, columns), interactive_panels(panels, columns)
