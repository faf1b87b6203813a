"""The trials of a search: a table, and rate against distance with their front."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from pu_diffusion_pipeline.metrics.registry import METRICS
from pu_diffusion_pipeline.reports.figures import hover
from pu_diffusion_pipeline.reports.frontier import DISTANCE, SAFE, TITLES
from pu_diffusion_pipeline.reports.text_table import TextTable


def trials_table(
    rows: pd.DataFrame, names: Sequence[str], best: int | None, limit: float
) -> TextTable:
    """The trials for readers; the best one is bold.

    Args:
        rows: columns number, state, the parameters, nsr, distance.
        names: of the parameters.
        best: the number of the best trial.
        limit: of the distance.
    """
    text = pd.DataFrame(
        {
            "trial": [str(number + 1) for number in rows["number"]],
            **{name: [f"{value:g}" for value in rows[name]] for name in names},
            **{METRICS[one].symbol: rows[one].map(METRICS[one].text) for one in (SAFE, DISTANCE)},
            "state": rows["state"],
        }
    )
    bold = frozenset((row, name) for row in range(len(text)) if row == best for name in text)
    caption = f"Bold: the highest rate with a Frechet distance of at most {limit:.2f}."
    return TextTable(text, bold, caption=caption)


def trials_figure(
    rows: pd.DataFrame, names: Sequence[str], limit: float, reference: tuple[float, float]
) -> Figure:
    """Rate against distance, the best to the upper left; a line joins the front.

    Args:
        rows: as for `trials_table`, and is_within, is_on_front.
        names: of the parameters.
        limit: of the distance.
        reference: rate and distance of unsupervised training.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    measured = rows[rows[SAFE].notna()]
    for within, color in ((True, "tab:blue"), (False, "tab:gray")):
        part = measured[measured["is_within"] == within]
        label = "within the limit" if within else "above the limit"
        axes.scatter(part[DISTANCE], part[SAFE], color=color, label=label, zorder=2)
    for row in measured.to_dict("records"):
        values = ", ".join(f"{name} {row[name]:g}" for name in names)
        reached = ", ".join(f"{METRICS[one].name} {METRICS[one].text(row[one])}"
                            for one in (SAFE, DISTANCE))  # fmt: skip
        hover(axes, row[DISTANCE], row[SAFE], f"{values}: {reached}")
    front = measured[measured["is_on_front"]].sort_values(DISTANCE)
    axes.plot(front[DISTANCE], front[SAFE], color="tab:green", linewidth=1, label="front", zorder=1)
    axes.axvline(limit, color="tab:red", linestyle=":", linewidth=1, label="limit")
    axes.scatter(reference[1], reference[0], color="black", marker="s", label="unsupervised")
    axes.set(xlabel=TITLES[DISTANCE], ylabel=TITLES[SAFE])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure
