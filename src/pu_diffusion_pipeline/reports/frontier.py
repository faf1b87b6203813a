"""The frontier between safety and quality: what each method reaches in both."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.reports.runs import mean_and_range

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

SAFE, DISTANCE = "nsr", "distance"
TITLES = {DISTANCE: "Frechet distance (smaller is better)", SAFE: "non-sensitive rate"}


def frontier_points(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per method, beta and gamma.

    Args:
        runs: `runs.Selection.runs`.

    Returns:
        Columns label, n, of rate and distance the mean with `_low` and `_high` (one standard
        deviation over seeds; of a single run its interval, or nothing), and `is_on_front`: no
        other method is better in one and at least as good in the other. A method that is trained
        on the ground truth is never on it.
    """
    keys = ["method", "beta", "gamma"]
    points = pd.DataFrame(
        {"method": key[0], "label": _label(*key), "n": len(part), **mean_and_range(part)}
        for key, part in runs.groupby(keys, dropna=False, sort=False)
    )
    points["is_on_front"] = [_is_on_front(points, row) for row in range(len(points))]
    return points


def _label(method: str, beta: object, gamma: object) -> str:
    parts = [method] + [f"β {beta}"] * METHODS[method].uses_beta
    return ", ".join(parts + [f"γ {gamma}"] * METHODS[method].uses_gamma)


def _is_on_front(points: pd.DataFrame, row: int) -> bool:
    compared = ~points["method"].map(lambda name: METHODS[name].is_reference)
    here = points.loc[row]
    as_good = (points[SAFE] >= here[SAFE]) & (points[DISTANCE] <= here[DISTANCE])
    better = (points[SAFE] > here[SAFE]) | (points[DISTANCE] < here[DISTANCE])
    return bool(compared[row]) and not (compared & as_good & better).any()


def frontier_figure(points: pd.DataFrame) -> Figure:
    """Rate against distance, the best to the upper left; a line joins the front.

    Args:
        points: `frontier_points`.
    """
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axes = figure.subplots()
    heights = _label_heights(points)
    for point in points.itertuples():
        axes.errorbar(
            getattr(point, DISTANCE),
            getattr(point, SAFE),
            xerr=_reach(point, DISTANCE),
            yerr=_reach(point, SAFE),
            marker="s" if METHODS[point.method].is_reference else "o",
            color="black" if METHODS[point.method].is_reference else None,
            capsize=3,
            linewidth=1,
        )
        place = (getattr(point, DISTANCE), getattr(point, SAFE))
        axes.annotate(
            point.label, place, (6, heights[point.Index]), textcoords="offset points", fontsize=8
        )
    front = points[points["is_on_front"]].sort_values(DISTANCE)
    axes.plot(front[DISTANCE], front[SAFE], color="tab:green", linewidth=1, zorder=0)
    axes.set(xlabel=TITLES[DISTANCE], ylabel=TITLES[SAFE])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.12)
    return figure


def _label_heights(points: pd.DataFrame) -> dict[int, int]:
    """How far above its point each label stands, in points: apart where points are close."""
    spans = {name: float(np.ptp(points[name])) or 1.0 for name in (DISTANCE, SAFE)}
    heights: dict[int, int] = {}
    for row in points.sort_values(DISTANCE).index:
        here = points.loc[row]
        close = [
            other
            for other in heights
            if abs(points.loc[other, DISTANCE] - here[DISTANCE]) < 0.25 * spans[DISTANCE]
            and abs(points.loc[other, SAFE] - here[SAFE]) < 0.04 * spans[SAFE]
        ]
        heights[row] = 5 if not close else -1 - 11 * len(close)
    return heights


def interactive_frontier(points: pd.DataFrame) -> "PlotlyFigure":
    """The same with values on hover."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for point in points.itertuples():
        bars = {}
        for axis, column in (("error_x", DISTANCE), ("error_y", SAFE)):
            (below,), (above,) = _reach(point, column)
            bars[axis] = {"type": "data", "array": [above], "arrayminus": [below]}
        place = {"x": [getattr(point, DISTANCE)], "y": [getattr(point, SAFE)]}
        figure.add_scatter(**place, **bars, name=point.label, mode="markers")
    return figure.update_layout(
        template="plotly_white", xaxis_title=TITLES[DISTANCE], yaxis_title=TITLES[SAFE]
    )


def _reach(point: object, column: str) -> np.ndarray:
    """(2, 1): how far its range goes below and above; 0 where there is none."""
    value = getattr(point, column)
    ends = [value - getattr(point, f"{column}_low"), getattr(point, f"{column}_high") - value]
    return np.maximum(np.array(ends, dtype=float), 0.0)[:, None]
