"""Interactive figures (plotly), previewed in kedro-viz."""

import base64
import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pu_diffusion_pipeline.metrics.registry import Record, main_metrics
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve
from pu_diffusion_pipeline.reports.figures import Panel, mosaic


def interactive_beta_curves(
    points: pd.DataFrame, marks: Mapping[str, float], baseline: Mapping[str, float] | None
) -> go.Figure:
    """Figure 4 with values on hover; arguments as in `figures.beta_curves`."""
    metrics = main_metrics()
    titles = [metric.name for metric in metrics.values()]
    figure = make_subplots(rows=1, cols=len(metrics), subplot_titles=titles)
    for number, column in enumerate(metrics, start=1):
        place = {"row": 1, "col": number}
        figure.add_trace(_points_over_beta(points, column, showlegend=number == 1), **place)
        if baseline is not None:
            gray = {"line_dash": "dash", "line_color": "gray"}
            figure.add_hline(baseline[column], annotation_text="unsupervised", **gray, **place)
        for label, beta in marks.items():
            red = {"line_dash": "dot", "line_color": "#d62728"}
            figure.add_vline(beta, annotation_text=label, **red, **place)
        figure.update_xaxes(title_text="beta", **place)
    return figure.update_layout(template="plotly_white", margin={"t": 60})


def _points_over_beta(points: pd.DataFrame, column: str, showlegend: bool) -> go.Scatter:
    above = points[f"{column}_high"] - points[column]
    below = points[column] - points[f"{column}_low"]
    return go.Scatter(
        x=points["beta"],
        y=points[column],
        error_y={"type": "data", "array": above, "arrayminus": below},
        mode="lines+markers",
        name="PU",
        line={"color": "#1f77b4"},
        customdata=points["n"],
        hovertemplate="beta %{x}<br>%{y:.4g}<br>n = %{customdata}",
        showlegend=showlegend,
    )


def interactive_ratio_curve(scores: Scores, record: Record) -> go.Figure:
    """r(c) and its bound against the share of S above c, as in `figures.ratio_figure`.

    Args:
        scores: of S and U.
        record: of the class prior.
    """
    figure = go.Figure()
    if record["estimate"] is not None:
        curve = ratio_curve(scores)
        shown = np.unique(np.linspace(0, len(curve.threshold) - 1, 500).astype(int))
        share = curve.share_labeled[shown]
        bound = curve.bound(record["delta"])[shown]
        figure.add_scatter(x=share, y=curve.ratio[shown], name="r(c)")
        figure.add_scatter(x=share, y=np.where(np.isfinite(bound), bound, np.nan), name="bound")
        gray = {"line_dash": "dash", "line_color": "gray"}
        figure.add_hline(record["estimate"], annotation_text="estimate", **gray)
        figure.add_vline(record["share_of_labeled_above"], **gray)
    figure.update_yaxes(title_text="share of U / share of S", range=[0, 1])
    return figure.update_layout(template="plotly_white", xaxis_title="share of S above c")


def interactive_panels(panels: Mapping[str, Panel], columns: int) -> go.Figure:
    """Grids of images to zoom into; arguments as in `figures.image_panels`."""
    figure = make_subplots(
        rows=1, cols=len(panels), subplot_titles=list(panels), horizontal_spacing=0.01
    )
    for number, (images, framed) in enumerate(panels.values(), start=1):
        buffer = io.BytesIO()
        mosaic(images, columns, framed).save(buffer, "PNG")
        source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        figure.add_trace(go.Image(source=source, hoverinfo="skip"), row=1, col=number)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.update_layout(
        template="plotly_white", margin={"t": 40, "b": 10, "l": 10, "r": 10}
    )
