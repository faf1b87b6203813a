"""Nodes of reporting.

Inputs that exist once per method come as keywords: `<method>` where a node needs one artifact of
each method, `<method>__<artifact>` where it needs several; `pictures__<name>` is a figure.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.experiment.commands import missing_commands
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.reports import tables
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.runs import baseline_of, over_beta, select_runs, summarize
from pu_diffusion_pipeline.reports.summary import show_summary, summary_markdown

if TYPE_CHECKING:  # Matplotlib is imported by the nodes that draw
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as PlotlyFigure

    from pu_diffusion_pipeline.reports.figures import Panel

log = logging.getLogger(__name__)


def tabulate_metrics(benchmark: str, **metrics: Record) -> tuple[pd.DataFrame, str]:
    """A row per method, as a table and as Markdown; also shown in the terminal."""
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
    """Every finished run with these parameters, of any seed and beta, and means with tests."""
    runs, left_out = select_runs(all_metrics, comparable)
    summary = summarize(runs, reporting)
    if len(runs) > len(finished):  # else the table of methods says the same
        show_summary(summary, paper_row)
    missing = missing_commands(runs, comparable)
    for command in missing:
        log.info("Missing for a full table: %s", command)
    return runs, summary, summary_markdown(summary, paper_row, reporting, missing, left_out)


def draw_figure1(
    unlabeled: ImageSet,
    labeled_sensitive: ImageSet,
    oracle_unlabeled: pd.DataFrame | None = None,
    **results: Any,
) -> tuple["Figure", "PlotlyFigure"]:
    """Figure 1: U, S, and samples of unsupervised and PU training; sensitive images are framed."""
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
    """Figure 4: the metrics against beta; the true and the estimated share are marked."""
    from pu_diffusion_pipeline.reports.figures import beta_curves
    from pu_diffusion_pipeline.reports.interactive import interactive_beta_curves

    marks = {"true share": _true_share(oracle_unlabeled), "estimate": class_prior["estimate"]}
    marks = {name: share for name, share in marks.items() if share is not None}
    shown = (over_beta(runs), marks, baseline_of(runs))
    return beta_curves(*shown), interactive_beta_curves(*shown)


def draw_frontier(runs: pd.DataFrame) -> tuple[pd.DataFrame, "Figure", "PlotlyFigure"]:
    """Rate against distance, all methods: the points, and two figures."""
    from pu_diffusion_pipeline.reports.frontier import (
        frontier_figure,
        frontier_points,
        interactive_frontier,
    )

    points = frontier_points(runs)
    return points, frontier_figure(points), interactive_frontier(points)


def draw_samples(**results: Any) -> tuple["Figure", "PlotlyFigure"]:
    """Figures 2 and 3: the first samples of each method; those judged sensitive are framed."""
    from pu_diffusion_pipeline.reports.figures import sample_panels

    return _drawn(sample_panels(_judged_samples(results)), columns=10)


def draw_curves(**histories: pd.DataFrame) -> "Figure":
    """Loss and risks over the training steps."""
    from pu_diffusion_pipeline.reports.figures import training_curves

    return training_curves(histories)


def render_class_prior(
    class_prior: Record,
    class_prior_methods: pd.DataFrame,
    class_prior_scores: pd.DataFrame,
    oracle_unlabeled: pd.DataFrame | None = None,
) -> str:
    """The report's section on the share of sensitive images in U: the estimate and the truth."""
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
    class_prior_section: str,
    **results: Any,
) -> str:
    """The report: one HTML page that needs no other file."""
    from pu_diffusion_pipeline.reports import page

    shown = page.Tables(comparison, summary, paper_row, reporting)
    parts = _by_method(results)
    pictures = page.Pictures(**parts.pop("pictures"))
    methods = {name: page.MethodResult(**given) for name, given in parts.items()}
    return page.render_page(shown, judge_report, class_prior_section, pictures, methods)


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
