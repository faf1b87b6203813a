"""The report: one HTML page that needs no other file."""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from pu_diffusion_pipeline.reports.figures import to_png_base64, to_svg
from pu_diffusion_pipeline.reports.summary import describe, paper_judge_accuracy
from pu_diffusion_pipeline.reports.tables import formatted

FIGURES = {
    "figure1": "U, S, and samples of unsupervised and PU training",
    "figure2": "samples from the same starting noise, those judged sensitive framed",
    "figure3": "samples from the same starting noise, those judged sensitive framed",
    "figure4": "non-sensitive rate and Frechet distance against beta",
}


def render_page(
    *,
    benchmark: str,
    comparison: pd.DataFrame,
    by_class: pd.DataFrame | None,
    summary: pd.DataFrame,
    paper_row: str | None,
    class_prior: dict[str, Any],
    prior_methods: pd.DataFrame,
    judge: dict[str, Any],
    settings: dict[str, Any],
    manifests: Iterable[dict[str, Any]],
    figures: dict[str, Figure],
) -> str:
    """Render the page.

    Args:
        benchmark: its name.
        comparison: `tables.comparison_table`.
        by_class: `tables.per_condition_table`.
        summary: `runs.summarize`, over all finished runs.
        paper_row: the benchmark's row in the paper's tables.
        class_prior: the estimate's record, with the true share as `oracle`.
        prior_methods: `tables.methods_table`.
        judge: what `assess_judge` returned.
        settings: all parameters.
        manifests: the training manifests, in the order of the table.
        figures: `samples` (as PNG), `curves` and `ratio` (as SVG).
    """
    return _template("page.html.jinja").render(
        benchmark=benchmark,
        table=formatted(comparison),
        extractor=comparison["extractor"].iloc[0],
        by_class=by_class,
        over_seeds=describe(summary, paper_row) if (summary["n"] > 1).any() else None,
        summary=summarize(comparison),
        class_prior=describe_prior(class_prior),
        prior_warnings=class_prior["warnings"],
        prior_methods=prior_methods,
        ratio_svg=to_svg(figures["ratio"]),
        judge=judge,
        paper_judge=paper_judge_accuracy(paper_row),
        settings=settings,
        manifests=list(manifests),
        samples_png=to_png_base64(figures["samples"]),
        curves_svg=to_svg(figures["curves"]),
    )


def render_paper_page(folder: Path) -> str:
    """Every table and figure that `kedro reproduce` has left in a folder, as one page.

    Args:
        folder: with `table<n>.csv` and `.md` (title, table and caption, an empty line between them), and
            `figure<n>_<benchmark>.png`.
    """
    tables = []
    for path in sorted(folder.glob("table?.csv")):
        title, *_, caption = path.with_suffix(".md").read_text().strip().split("\n\n")
        tables.append({"title": title, "caption": caption, "rows": pd.read_csv(path, dtype=str, keep_default_na=False)})
    figures = []
    for path in sorted(folder.glob("figure?_*.png")):
        name, _, benchmark = path.stem.partition("_")
        title = f"Figure {name[-1]}: {FIGURES[name]} ({benchmark})"
        figures.append({"title": title, "png": base64.b64encode(path.read_bytes()).decode()})
    return _template("paper.html.jinja").render(tables=tables, figures=figures)


def _template(name: str) -> Any:
    return Environment(loader=PackageLoader(__package__, "."), autoescape=True).get_template(name)


def summarize(comparison: pd.DataFrame) -> str:
    """The finding in a sentence: PU against unsupervised, and whether their intervals overlap."""
    rows = comparison.set_index("method")
    pu, plain = rows.loc["pu"], rows.loc["unsupervised"]
    apart = pu["nsr_low"] > plain["nsr_high"] or plain["nsr_low"] > pu["nsr_high"]
    return (
        f"PU training generates {100 * (1 - pu['nsr']):.1f} % sensitive images, unsupervised training "
        f"{100 * (1 - plain['nsr']):.1f} %; the 95 % intervals {'do not overlap' if apart else 'overlap'}."
    )


def describe_prior(prior: dict[str, Any]) -> str:
    """The class prior in a sentence."""
    if prior["estimate"] is None:
        return "No estimate: " + "; ".join(prior["warnings"]) + "."
    low, high = prior["sampling_variability"]
    first, last = prior["spread_of_repeats"]
    return (
        f"{prior['estimate']:.4f} if irreducible, at most {prior['upper']:.4f} "
        f"(bound that fails with probability {prior['delta']:g}; approximate); {prior['num_labeled_above']} images "
        f"of S and {prior['num_unlabeled_above']} of U lie above the threshold. Sampling variability {low:.4f} to "
        f"{high:.4f}, repeated fits {first:.4f} to {last:.4f}, S versus U AUC {prior['auc']:.3f}. "
        f"True share in U: {prior['oracle']:.4f}."
    )
