"""Interactive figures (plotly), previewed in kedro-viz."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve
from pu_diffusion_pipeline.reports.figures import BETA_PANELS, mosaic


def interactive_beta_curves(
    points: pd.DataFrame, marks: dict[str, float], baseline: dict[str, float] | None
) -> go.Figure:
    """Figure 4 to hover over; arguments as in `figures.beta_curves`."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=list(BETA_PANELS.values()))
    for column, metric in enumerate(BETA_PANELS, start=1):
        up, down = points[f"{metric}_high"] - points[metric], points[metric] - points[f"{metric}_low"]
        figure.add_trace(
            go.Scatter(
                x=points["beta"],
                y=points[metric],
                error_y={"type": "data", "array": up, "arrayminus": down},
                mode="lines+markers",
                name="PU",
                line={"color": "#1f77b4"},
                customdata=points["n"],
                hovertemplate="beta %{x}<br>%{y:.4g}<br>n = %{customdata}",
                showlegend=column == 1,
            ),
            row=1,
            col=column,
        )
        if baseline is not None:
            figure.add_hline(
                baseline[metric], line_dash="dash", line_color="gray", annotation_text="unsupervised", row=1, col=column
            )
        for label, beta in marks.items():
            figure.add_vline(beta, line_dash="dot", line_color="#d62728", annotation_text=label, row=1, col=column)
        figure.update_xaxes(title_text="beta", row=1, col=column)
    return figure.update_layout(template="plotly_white", margin={"t": 60})


def interactive_ratio_curve(scores: Scores, record: dict[str, Any]) -> go.Figure:
    """r(c) and its bound against the share of S above c: the estimate is r where the bound is smallest.

    Args:
        scores: of S and U.
        record: the class prior's.
    """
    figure = go.Figure()
    if record["estimate"] is not None:
        curve = ratio_curve(scores)
        shown = np.unique(np.linspace(0, len(curve.threshold) - 1, 500).astype(int))
        share, bound = curve.share_labeled[shown], curve.bound(record["delta"])
        figure.add_scatter(x=share, y=curve.ratio[shown], name="r(c)")
        figure.add_scatter(x=share, y=np.where(np.isfinite(bound), bound, np.nan)[shown], name="bound")
        figure.add_hline(record["estimate"], line_dash="dash", line_color="gray", annotation_text="estimate")
        figure.add_vline(record["share_of_labeled_above"], line_dash="dash", line_color="gray")
    figure.update_yaxes(title_text="share of U / share of S", range=[0, 1])
    return figure.update_layout(template="plotly_white", xaxis_title="share of S above c")


def interactive_panels(panels: dict[str, tuple[np.ndarray, np.ndarray | None]], columns: int) -> go.Figure:
    """Grids of images to zoom into; arguments as in `figures.image_panels`."""
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=list(panels), horizontal_spacing=0.01)
    for column, (images, framed) in enumerate(panels.values(), start=1):
        buffer = io.BytesIO()
        mosaic(images, columns, framed).save(buffer, "PNG")
        source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        figure.add_trace(go.Image(source=source, hoverinfo="skip"), row=1, col=column)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.update_layout(template="plotly_white", margin={"t": 40, "b": 10, "l": 10, "r": 10})
