"""Nodes of reporting. Inputs that exist once per method come in the order of the methods."""

from typing import Any

import pandas as pd

from pu_diffusion_pipeline.identity import check_settings, settings
from pu_diffusion_pipeline.parameters import METHODS, load_parameters


def tabulate_metrics(parameters: dict[str, Any], *metrics: dict[str, Any]) -> tuple[pd.DataFrame, str]:
    """A row per method, as a table and as Markdown; also shown in the terminal."""
    from pu_diffusion_pipeline.reports.tables import comparison_table, show_comparison, to_markdown

    checked = load_parameters(parameters)
    for record in metrics:
        method = record["method"]
        check_settings(record["settings"], settings(checked, "metrics", method), f"The {method} metrics")
    table = comparison_table(metrics)
    show_comparison(table, checked.benchmark)
    return table, to_markdown(table)


def draw_samples(*samples_and_judgements: Any) -> Any:
    """The first samples of each method side by side; those judged sensitive are framed."""
    from pu_diffusion_pipeline.reports.figures import sample_grids

    samples, judgements = samples_and_judgements[: len(METHODS)], samples_and_judgements[len(METHODS) :]
    return sample_grids(
        {
            method: (images.images, table["judged_sensitive"].to_numpy())
            for method, images, table in zip(METHODS, samples, judgements, strict=True)
        }
    )


def draw_curves(*histories: pd.DataFrame) -> Any:
    """Loss and risks over the training steps."""
    from pu_diffusion_pipeline.reports.figures import training_curves

    return training_curves(dict(zip(METHODS, histories, strict=True)))


def render_report(
    comparison: pd.DataFrame,
    class_prior: dict[str, Any],
    oracle_unlabeled: pd.DataFrame,
    judge_report: dict[str, Any],
    parameters: dict[str, Any],
    *histories_samples_judgements_manifests: Any,
) -> str:
    """The self-contained HTML page."""
    from pu_diffusion_pipeline.reports.page import render_page

    count = len(METHODS)
    parts = [histories_samples_judgements_manifests[start : start + count] for start in range(0, 4 * count, count)]
    histories, samples, judgements, manifests = parts
    checked = load_parameters(parameters)
    return render_page(
        benchmark=checked.benchmark,
        comparison=comparison,
        class_prior={**class_prior, "oracle": float(oracle_unlabeled["is_sensitive"].mean())},
        judge=judge_report,
        settings=checked.model_dump(mode="json"),
        manifests=manifests,
        figures={"samples": draw_samples(*samples, *judgements), "curves": draw_curves(*histories)},
    )
