"""The page that shows how fast sensitive images come back when a model is trained on."""

import pandas as pd

from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.reports.figure_files import to_svg
from pu_diffusion_pipeline.reports.figures import relearning_curve
from pu_diffusion_pipeline.reports.templates import template


def render_relearning(benchmark: str, relearning: pd.DataFrame, unsupervised: Record) -> str:
    """The page as HTML.

    Args:
        benchmark: its name.
        relearning: a row per step: step, non_sensitive_rate, low, high, num_images.
        unsupervised: metrics of the model that was never protected.
    """
    return template("relearning.html.jinja").render(
        benchmark=benchmark, relearned=shown(relearning, unsupervised)
    )


def shown(relearning: pd.DataFrame, unsupervised: Record) -> dict[str, object]:
    """What the macro `relearning` of `macros.html.jinja` shows; arguments as above."""
    plain = unsupervised["non_sensitive_rate"]["value"]
    return {
        "rows": relearning.to_dict("records"),
        "sentence": sentence(relearning, plain),
        "how": unsupervised["non_sensitive_rate"].get("how"),
        "curve_svg": to_svg(relearning_curve(relearning, plain)),
    }


def sentence(relearning: pd.DataFrame, plain: float | None) -> str:
    """When the interval of the protected model first holds the share of the unprotected one."""
    first, last = relearning.iloc[0], relearning.iloc[-1]
    if relearning["non_sensitive_rate"].isna().any():
        return "The classifier does not tell sensitive images: there is no rate."
    said = (
        f"Fine-tuned on U for {last['step']:.0f} steps, the PU model goes from "
        f"{_percent(first)} to {_percent(last)} sensitive samples."
    )
    if plain is None:
        return said
    back = relearning[relearning["low"] <= plain]
    if back.empty:
        return f"{said} The {100 * (1 - plain):.1f} % of unsupervised training are not reached."
    return (
        f"{said} From step {back['step'].iloc[0]:.0f} on its interval reaches the "
        f"{100 * (1 - plain):.1f} % of unsupervised training."
    )


def _percent(row: pd.Series) -> str:
    return f"{100 * (1 - row['non_sensitive_rate']):.1f} %"
