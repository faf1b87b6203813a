"""The frontier between safety and quality: what each method reaches in both."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pu_diffusion_pipeline.diffusion.methods import METHODS, Method
from pu_diffusion_pipeline.diffusion.options import GuidingOptions, NoiseOptions, SamplingOptions
from pu_diffusion_pipeline.metrics.registry import METRICS, Record
from pu_diffusion_pipeline.positive_unlabeled.options import FilteringOptions
from pu_diffusion_pipeline.reports.figure_files import hover
from pu_diffusion_pipeline.reports.runs import mean_and_range
from pu_diffusion_pipeline.reports.text_table import TextTable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

SAFE, DISTANCE = "nsr", "distance"
TITLES = {DISTANCE: "Frechet distance (smaller is better)", SAFE: "non-sensitive rate"}
CLASS = "class_"  # before the name of a class: how many samples show it
# Column of the points to its heading in tables and its digits.
CHECKS = {
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "second_nsr": ("second judge", ".3f"),
    "both": ("both judges", ".3f"),
    "near_labeled_sensitive": ("near S", ".2f"),
    "relearned_nsr": ("relearned", ".3f"),
    "train_seconds": ("training s", ".0f"),
    "calls": ("calls", ".0f"),
}
COUNTED = ("second_nsr", "relearned_nsr")  # checks that some runs may lack
CAPTION = (
    "Means over seeds, ± one standard deviation; bold: no other method is better in one of NSR and "
    "FD and at least as good in the other. Second judge: non-sensitive rate by a support vector "
    "machine that no method uses. Both judges: share of samples that both take for normal. Near S: "
    "share of samples that are nearer to an image of S than to any of as many other sensitive "
    "images (0.5: S is not copied). Relearned: rate after the model was fine-tuned on U without "
    "protection, where relearn_<method> was run. Training: of all models that the method draws "
    "from. Calls: of a network for each image that is kept. (1 of 5): so many of the runs were "
    "checked."
)


def with_checks(
    runs: pd.DataFrame, opinions: Mapping[str, Record], relearned: Mapping[str, Record]
) -> pd.DataFrame:
    """The runs with what the second judge and the relearning check found.

    Args:
        runs: `runs.Selection.runs`.
        opinions: run name to `metrics.second_judge.second_opinion`.
        relearned: run name to the end of its relearning check.

    Returns:
        Further columns `second_nsr`, `both`, `near_labeled_sensitive`, `relearned_nsr`, and
        `class_<name>` with counts; NaN where a run was not checked.
    """
    opinions = {name: record for name, record in opinions.items() if name in set(runs["run"])}
    names = sorted({name for record in opinions.values() for name in record["classes"]})
    found = []
    for run in runs["run"]:
        said = opinions.get(run)
        row = {"relearned_nsr": relearned.get(run, {}).get("non_sensitive_rate")}
        row["second_nsr"] = said and said["non_sensitive_rate"]
        row |= {name: said and said[name] for name in ("both", "near_labeled_sensitive")}
        row |= {f"{CLASS}{name}": said and said["classes"].get(name, 0) for name in names}
        found.append(row)
    checked = pd.DataFrame(found).astype(float)
    return pd.concat([runs.reset_index(drop=True), checked], axis=1)


class CallsPerImage(NamedTuple):
    """The options that say how often a network is called for an image."""

    sampling: SamplingOptions
    guiding: GuidingOptions
    filtering: FilteringOptions
    noise: NoiseOptions

    def of(self, method: Method) -> float:
        """How often for each image that is kept."""
        calls = float(self.sampling.num_steps)
        if "guiding" in method.sections:
            calls += self._guided_steps()
        if "filtering" in method.sections:
            calls /= 1 - self.filtering.share
        return calls

    def _guided_steps(self) -> int:
        """At how many steps of the sampler the other network is asked too."""
        from pu_diffusion_pipeline.diffusion.noising import build_noise_scheduler
        from pu_diffusion_pipeline.diffusion.samplers import build_sampler

        noise_scheduler = build_noise_scheduler(**self.noise.model_dump())
        how = self.sampling
        sampler = build_sampler(noise_scheduler, how.sampler, how.sigmas, how.num_steps)
        sampler.set_timesteps(self.sampling.num_steps)
        first, end = self.guiding.timesteps
        return sum(first <= int(timestep) < end for timestep in sampler.timesteps)


def frontier_points(runs: pd.DataFrame, calls: CallsPerImage) -> pd.DataFrame:
    """A row per method, beta and gamma.

    Args:
        runs: `with_checks`.
        calls: of a network for each image.

    Returns:
        Columns label, n, of rate and distance the mean with `_low` and `_high` (one standard
        deviation over seeds; of a single run its interval, or nothing), the means of `CHECKS` and
        of the counts of classes, `<name>_n`, how many runs the means of `COUNTED` are of, and
        `is_on_front`: no other method is better in one and at least as good in the other. A method
        that is trained on the ground truth is never on it.
    """
    keys = ["method", "beta", "gamma"]
    counts = [name for name in runs if name.startswith(CLASS)]
    checks = [name for name in CHECKS if name in runs]
    points = pd.DataFrame(
        {
            "method": key[0],
            "label": _label(*key),
            "n": len(part),
            **mean_and_range(part),
            **part[[*checks, *counts]].mean().to_dict(),
            **{f"{name}_n": part[name].count() for name in COUNTED if name in part},
            "calls": calls.of(METHODS[key[0]]),
        }
        for key, part in runs.groupby(keys, dropna=False, sort=False)
    )
    points["train_seconds"] = _seconds(points)
    points["is_on_front"] = [_is_on_front(points, row) for row in range(len(points))]
    return points


def _seconds(points: pd.DataFrame) -> list[float]:
    """Of all models that a point draws from; NaN where one of the others has no runs.

    A run's own seconds are those of the first of them.
    """
    of_method = points.groupby("method", sort=False)["train_seconds"].mean()
    others = points["method"].map(lambda name: METHODS[name].draws_from[1:])
    return [
        float(own) + sum(of_method.get(one, float("nan")) for one in models)
        for models, own in zip(others, points["train_seconds"], strict=True)
    ]


def frontier_table(points: pd.DataFrame) -> TextTable:
    """The points for readers; those on the front are bold.

    Args:
        points: `frontier_points`.
    """
    shown = [name for name in CHECKS if not points[name].isna().all()]
    counts = [name for name in points if name.startswith(CLASS)]
    rows = []
    for _, point in points.iterrows():
        row = {"method": point["label"], "n": str(point["n"])}
        for column in (SAFE, DISTANCE):
            row[METRICS[column].symbol] = _with_deviation(point, column)
        row |= {CHECKS[name][0]: _check_text(point, name) for name in shown}
        rows.append(row | {name.removeprefix(CLASS): _text(point[name], ".0f") for name in counts})
    front = frozenset((row, "method") for row in range(len(rows)) if points["is_on_front"][row])
    return TextTable(pd.DataFrame(rows), front, caption=CAPTION)


def dispensable(rows: pd.DataFrame) -> list[str]:
    """Columns of `frontier_table` that a narrow terminal does without, the first ones first."""
    kept = {"method", "n", *(METRICS[column].symbol for column in (SAFE, DISTANCE))}
    return [name for name in reversed(rows.columns) if name not in kept]


def _with_deviation(point: pd.Series, column: str) -> str:
    text = METRICS[column].text(point[column])
    if point["n"] == 1:
        return text
    deviation = (point[f"{column}_high"] - point[f"{column}_low"]) / 2
    return f"{text} ± {METRICS[column].text(deviation)}"


def _check_text(point: pd.Series, name: str) -> str:
    text = _text(point[name], CHECKS[name][1])
    checked = point.get(f"{name}_n", point["n"])
    return text if checked in (0, point["n"]) else f"{text} ({checked:.0f} of {point['n']})"


def _text(value: float, digits: str) -> str:
    return "–" if pd.isna(value) else format(value, digits)


def _label(method: str, beta: object, gamma: object) -> str:
    parts = [method] + [f"β {beta}"] * METHODS[method].uses_beta
    return ", ".join(parts + [f"γ {gamma}"] * METHODS[method].uses_gamma)


def _is_on_front(points: pd.DataFrame, row: int) -> bool:
    compared = ~points["method"].map(lambda name: METHODS[name].is_reference)
    here = points.loc[row]
    as_good = (points[SAFE] >= here[SAFE]) & (points[DISTANCE] <= here[DISTANCE])
    better = (points[SAFE] > here[SAFE]) | (points[DISTANCE] < here[DISTANCE])
    is_measured = bool(here[[SAFE, DISTANCE]].notna().all())
    return bool(compared[row]) and is_measured and not (compared & as_good & better).any()


def frontier_figure(points: pd.DataFrame) -> Figure:
    """Rate against distance, the best to the upper left; a line joins the front.

    Args:
        points: `frontier_points`.
    """
    height = max(4.6, 0.19 * len(points) + 0.4)  # of the legend
    figure = Figure(figsize=(8.2, height), layout="constrained")
    axes = figure.subplots()
    markers = itertools.cycle("ovD^PX*<>p")
    for point in points.itertuples():
        is_reference = METHODS[point.method].is_reference
        axes.errorbar(
            getattr(point, DISTANCE),
            getattr(point, SAFE),
            xerr=_reach(point, DISTANCE),
            yerr=_reach(point, SAFE),
            marker="s" if is_reference else next(markers),
            color="black" if is_reference else None,
            capsize=3,
            linewidth=1,
            label=point.label,
        )
        said = ", ".join(
            f"{METRICS[name].name} {METRICS[name].text(getattr(point, name))}"
            for name in (SAFE, DISTANCE)
        )
        hover(axes, getattr(point, DISTANCE), getattr(point, SAFE), f"{point.label}: {said}")
    front = points[points["is_on_front"]].sort_values(DISTANCE)
    axes.plot(front[DISTANCE], front[SAFE], color="tab:green", linewidth=1, zorder=0)
    axes.set(xlabel=TITLES[DISTANCE], ylabel=TITLES[SAFE])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


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
