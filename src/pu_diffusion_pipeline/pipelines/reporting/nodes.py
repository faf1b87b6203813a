"""Nodes of reporting. Inputs that exist once per method come in the order of the methods."""

import logging
from typing import Any

import pandas as pd

from pu_diffusion_pipeline.commands import kedro_run, pipelines_of
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import check_settings, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.parameters import Parameters, load_parameters

log = logging.getLogger(__name__)

PER_CONDITION = "Non-sensitive rate by the class asked for; in brackets the share in which the judge sees that class."


def tabulate_metrics(parameters: dict[str, Any], *metrics: dict[str, Any]) -> tuple[pd.DataFrame, str]:
    """A row per method, as a table and as Markdown; also shown in the terminal."""
    from pu_diffusion_pipeline.reports.tables import (
        comparison_table,
        markdown_table,
        per_condition_table,
        show_comparison,
        to_markdown,
    )

    checked = load_parameters(parameters)
    for record in metrics:
        method = record["method"]
        check_settings(record["settings"], settings(checked, "metrics", method), f"The {method} metrics")
    table = comparison_table(metrics)
    show_comparison(table, checked.benchmark)
    by_class, markdown = per_condition_table(metrics), to_markdown(table)
    if by_class is not None:
        markdown += f"\n{PER_CONDITION}\n\n{markdown_table(by_class)}\n"
    return table, markdown


def summarize_runs(
    all_metrics: dict[str, dict[str, Any]], parameters: dict[str, Any], *finished: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Every finished run of the benchmark made with these parameters, and means with tests over seeds.

    Args:
        all_metrics: the record of each run.
        parameters: of any seed and beta.
        finished: records of this run; only so that the runs are gathered after it.
    """
    from pu_diffusion_pipeline.reports.runs import select_runs, summarize
    from pu_diffusion_pipeline.reports.summary import summary_markdown

    checked = load_parameters(parameters)
    asked = {method: settings(checked, "metrics", method) for method in METHODS}
    runs, left_out = select_runs(all_metrics, asked)
    if runs.empty:
        raise InvalidInput(f"No finished run of {checked.benchmark} was made with these parameters")
    options = checked.reporting
    summary = summarize(runs, kind=options.significance, level=options.level)
    missing = _missing(runs, checked)
    for line in missing:
        log.info("Missing for a full table: %s", line)
    markdown = summary_markdown(
        summary,
        row=checked.paper_row,
        kind=options.significance,
        level=options.level,
        missing=missing,
        left_out=left_out,
    )
    return runs, summary, markdown


def _missing(runs: pd.DataFrame, checked: Parameters) -> list[str]:
    from pu_diffusion_pipeline.reports.runs import missing_runs

    methods = [*(["pretrained"] if checked.pretrained else []), *DEFAULT_METHODS]
    commands = []
    for method, seed in missing_runs(runs, methods, sorted(set(runs["seed"])), checked.beta):
        given = {"seed": seed, **({"beta": checked.beta} if METHODS[method].uses_beta else {})}
        commands.append(" ".join(["kedro", *kedro_run(checked.benchmark, pipelines_of(method), given)]))
    return commands


def draw_figure1(
    unlabeled: ImageSet,
    labeled_sensitive: ImageSet,
    oracle_unlabeled: pd.DataFrame,
    unsupervised: ImageSet,
    pu: ImageSet,
    unsupervised_judgements: pd.DataFrame,
    pu_judgements: pd.DataFrame,
) -> tuple[Any, Any, Any]:
    """Figure 1: U, S, and samples of unsupervised and PU training; sensitive images are framed."""
    count = 64
    judged = [table["judged_sensitive"].to_numpy()[:count] for table in (unsupervised_judgements, pu_judgements)]
    panels = {
        "U, unlabeled": (unlabeled.images[:count], oracle_unlabeled["is_sensitive"].to_numpy()[:count]),
        "S, labeled sensitive": (labeled_sensitive.images[:count], None),
        "unsupervised": (unsupervised.images[:count], judged[0]),
        "PU": (pu.images[:count], judged[1]),
    }
    return _drawn(panels, columns=8)


def _drawn(panels: dict[str, Any], columns: int) -> tuple[Any, Any, Any]:
    """For PNG, for SVG (a figure can be saved once), and interactive."""
    from pu_diffusion_pipeline.reports.figures import image_panels
    from pu_diffusion_pipeline.reports.interactive import interactive_panels

    return image_panels(panels, columns), image_panels(panels, columns), interactive_panels(panels, columns)


def draw_figure4(
    runs: pd.DataFrame, class_prior: dict[str, Any], oracle_unlabeled: pd.DataFrame
) -> tuple[Any, Any, Any]:
    """Figure 4: the metrics against beta, as PNG, SVG and plotly; the true and the estimated share are marked."""
    from pu_diffusion_pipeline.reports.figures import beta_curves
    from pu_diffusion_pipeline.reports.interactive import interactive_beta_curves
    from pu_diffusion_pipeline.reports.runs import over_beta

    points = over_beta(runs)
    marks = {"true share": float(oracle_unlabeled["is_sensitive"].mean())}
    if class_prior["estimate"] is not None:
        marks["estimate"] = class_prior["estimate"]
    plain = runs[runs["method"] == "unsupervised"]
    baseline = None if plain.empty else {name: float(plain[name].mean()) for name in ("nsr", "distance")}
    figures = (beta_curves(points, marks, baseline) for _ in range(2))
    return (*figures, interactive_beta_curves(points, marks, baseline))


def draw_samples(*samples_and_judgements: Any) -> tuple[Any, Any, Any]:
    """Figures 2 and 3: the first samples of each method side by side; those judged sensitive are framed."""
    half = len(samples_and_judgements) // 2
    return _drawn(_sample_panels(samples_and_judgements[:half], samples_and_judgements[half:]), columns=10)


def _sample_panels(samples: Any, judgements: Any) -> dict[str, Any]:
    from pu_diffusion_pipeline.reports.figures import sample_panels

    return sample_panels(
        {
            images.manifest["training"]["method"]: (images.images, table["judged_sensitive"].to_numpy())
            for images, table in zip(samples, judgements, strict=True)
        }
    )


def draw_curves(*histories: pd.DataFrame, methods: list[str]) -> Any:
    """Loss and risks over the training steps."""
    from pu_diffusion_pipeline.reports.figures import training_curves

    return training_curves(dict(zip(methods, histories, strict=True)))


def render_report(
    comparison: pd.DataFrame,
    summary: pd.DataFrame,
    class_prior: dict[str, Any],
    class_prior_methods: pd.DataFrame,
    class_prior_scores: pd.DataFrame,
    oracle_unlabeled: pd.DataFrame,
    judge_report: dict[str, Any],
    parameters: dict[str, Any],
    *of_each_method: Any,
    methods: list[str],
) -> str:
    """The self-contained HTML page. The last inputs: metrics, samples, judgements, histories, manifests."""
    from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
    from pu_diffusion_pipeline.reports.figures import image_panels, ratio_figure
    from pu_diffusion_pipeline.reports.page import render_page
    from pu_diffusion_pipeline.reports.tables import per_condition_table

    trained = [name for name in methods if METHODS[name].trains]
    rest, parts = list(of_each_method), []
    for count in (len(methods), len(methods), len(methods), len(trained), len(trained)):
        parts.append(rest[:count])
        rest = rest[count:]
    metrics, samples, judgements, histories, manifests = parts
    checked = load_parameters(parameters)
    prior = {**class_prior, "oracle": float(oracle_unlabeled["is_sensitive"].mean())}
    by_set = dict(list(class_prior_scores.groupby("set")["score"]))
    scores = Scores(*(by_set[name].to_numpy() for name in Scores._fields))
    return render_page(
        benchmark=checked.benchmark,
        comparison=comparison,
        by_class=per_condition_table(metrics),
        summary=summary,
        paper_row=checked.paper_row,
        class_prior=prior,
        prior_methods=class_prior_methods,
        judge=judge_report,
        settings=checked.model_dump(mode="json"),
        manifests=manifests,
        figures={
            "samples": image_panels(_sample_panels(samples, judgements), columns=10),
            "curves": draw_curves(*histories, methods=trained),
            "ratio": ratio_figure(scores, prior),
        },
    )
