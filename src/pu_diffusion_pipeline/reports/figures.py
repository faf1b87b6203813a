"""Matplotlib figures: grids of images with the sensitive ones framed, curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from pu_diffusion_pipeline.metrics.registry import METRICS, Metric, Record, main_metrics
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve
from pu_diffusion_pipeline.reports.figure_files import hover, hover_over, places_to_tell

FRAME = (214, 39, 40)  # red
SMALLEST_SHOWN = 1e-30
LABELS = {
    "unlabeled_negative": "error on U",
    "sensitive_negative": "error on S",
    "sensitive_positive": "−log(1 − exp(−error)) on S",
    "normal": "normal risk, U − β S",
}
# Images (N, C, H, W) uint8, and (N,) bool which of them have a frame; None: none has.
Panel = tuple[np.ndarray, np.ndarray | None]


def mosaic(
    images: np.ndarray, columns: int, framed: np.ndarray | None = None, border: int = 2
) -> Image.Image:
    """Images in rows; those marked in `framed` get a red frame.

    Args:
        images: (N, C, H, W) uint8, C = 1 or 3.
        columns: images in a row.
        framed: (N,) bool.
        border: pixels around each image.
    """
    count, _, height, width = images.shape
    rows = max(1, -(-count // columns))  # a picture has pixels, also without images
    tall = height + 2 * border
    wide = width + 2 * border
    canvas = np.full((rows * tall, columns * wide, 3), 255, dtype=np.uint8)
    for index, image in enumerate(np.asarray(images)):
        top = index // columns * tall
        left = index % columns * wide
        if framed is not None and framed[index]:
            canvas[top : top + tall, left : left + wide] = FRAME
        pixels = np.broadcast_to(image.transpose(1, 2, 0), (height, width, 3))
        canvas[top + border : top + border + height, left + border : left + border + width] = pixels
    return Image.fromarray(canvas)


def sample_panels(
    methods: Mapping[str, tuple[np.ndarray, np.ndarray]], count: int = 100
) -> dict[str, Panel]:
    """Panels of the first samples of each method.

    Image i of every panel was sampled from the same starting noise.

    Args:
        methods: name to (images (N, C, H, W) uint8, judged_sensitive (N,) bool).
        count: images of each method.
    """
    panels: dict[str, Panel] = {}
    for name, (images, sensitive) in methods.items():
        shown = sensitive[:count]
        title = f"{name}: {int(shown.sum())} of {len(shown)} judged sensitive"
        panels[title] = (images[:count], shown)
    return panels


def image_panels(panels: Mapping[str, Panel], columns: int = 8) -> Figure:
    """Grids side by side, each with its title (Figures 1 to 3).

    Args:
        panels: title to images and which of them have a frame.
        columns: images in a row.
    """
    num_rows = max(-(-len(images) // columns) for images, _ in panels.values())
    size = (0.45 * columns * len(panels), 0.45 * num_rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    places = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (title, (images, framed)) in zip(places, panels.items(), strict=True):
        axes.imshow(mosaic(images, columns, framed), interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    return figure


def beta_curves(
    points: pd.DataFrame, marks: Mapping[str, float], baseline: Mapping[str, float] | None
) -> Figure:
    """The main metrics against beta (Figure 4).

    Args:
        points: `runs.over_beta`.
        marks: label to a beta that is marked by a vertical line, such as the true share.
        baseline: the main metrics of unsupervised training, or None.
    """
    metrics = main_metrics()
    figure = Figure(figsize=(4.8 * len(metrics), 3.8), layout="constrained")
    places = np.atleast_1d(figure.subplots(1, len(metrics)))
    for axes, (column, metric) in zip(places, metrics.items(), strict=True):
        _draw_over_beta(axes, points, column, metric)
        if baseline is not None:
            gray = {"color": "tab:gray", "linestyle": "--", "linewidth": 1}
            axes.axhline(baseline[column], label="unsupervised", **gray)
        for (label, beta), style in zip(marks.items(), (":", "-.", "--"), strict=False):
            red = {"color": "tab:red", "linestyle": style, "linewidth": 1}
            axes.axvline(beta, label=f"{label} ({beta:.3f})", **red)
        axes.set(xlabel="beta", ylabel=metric.name)
        _tidy(axes)
        axes.legend(fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def _draw_over_beta(axes: Axes, points: pd.DataFrame, column: str, metric: Metric) -> None:
    below = points[column] - points[f"{column}_low"]
    above = points[f"{column}_high"] - points[column]
    axes.errorbar(
        points["beta"],
        points[column],
        yerr=[below, above],
        marker="o",
        capsize=3,
        linewidth=1.3,
        label="PU",
    )
    for point in points.to_dict("records"):
        value = metric.text(point[column])
        said = f"beta {point['beta']:g}: {metric.name} {value}, n = {point['n']}"
        hover(axes, point["beta"], point[column], said)


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def ratio_figure(scores: Scores, prior: Record, true_share: float | None) -> Figure:
    """r(c) and its bound against the share of S above c.

    The estimate is r at the threshold c where the bound is smallest.

    Args:
        scores: of S and U.
        prior: the record of the class prior.
        true_share: of sensitive images in U; None where no labels say it.
    """
    figure = Figure(figsize=(6.2, 3.4), layout="constrained")
    axes = figure.subplots()
    curve = ratio_curve(scores)
    share = curve.share_labeled
    bound = curve.bound(prior["delta"])
    axes.plot(share, curve.ratio, linewidth=1.3, label="r(c) = share of U / share of S")
    axes.plot(share, bound, linewidth=1.1, linestyle=":", label="bound")
    for place in places_to_tell(len(share)):
        upper = f"{bound[place]:.4f}" if np.isfinite(bound[place]) else "none"
        said = f"share of S {share[place]:.3f}: r(c) = {curve.ratio[place]:.4f}; bound = {upper}"
        hover_over(axes, share[place], said)
    if prior["estimate"] is not None:
        x, y = prior["share_of_labeled_above"], prior["estimate"]
        axes.plot([x], [y], "o", color="tab:red", label="estimate")
        hover(axes, x, y, f"estimate {y:.4f}, at share of S {x:.3f}")
    highest = min(1.0, 3 * max(true_share or 0.0, prior["upper"]))
    if true_share is not None:
        axes.axhline(true_share, color="tab:gray", linestyle="--", linewidth=1, label="true share")
    axes.set(xlabel="share of S with a score above c", ylim=(0, highest))
    _tidy(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Risks over the training steps, a column per method on common scales.

    Above: the errors on U and S, which differ little. Below: R_S+, which is many orders of
    magnitude smaller. The first tenth of the steps, where the risks fall steeply, is left out.
    """
    figure = Figure(figsize=(4.6 * len(histories), 4.6), layout="constrained")
    rows = figure.subplots(
        2, len(histories), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1)
    )
    for (errors, barrier), (name, history) in zip(rows.T, histories.items(), strict=True):
        late = history[history["step"] > history["step"].max() / 10]
        _draw_risks(errors, barrier, late)
        errors.set_title(name)
        barrier.set(xlabel="step", yscale="log")
        for axes in (errors, barrier):
            _tidy(axes)
            if axes.lines:
                axes.legend(fontsize=8, frameon=False)
                _tell_risks(axes, name, late)
    rows[0, 0].set_ylabel("error per image")
    rows[1, 0].set_ylabel("R_S⁺")
    return figure


def _draw_risks(errors: Axes, barrier: Axes, history: pd.DataFrame) -> None:
    steps = history["step"]
    for column in ("unlabeled_negative", "sensitive_negative", "normal"):
        if column in history:
            errors.plot(steps, history[column], label=LABELS[column], linewidth=1.3)
    column = "sensitive_positive"
    if column in history:
        values = history[column].clip(lower=SMALLEST_SHOWN)
        barrier.plot(steps, values, label=LABELS[column], color="tab:green", linewidth=1.3)


def _tell_risks(axes: Axes, name: str, history: pd.DataFrame) -> None:
    """Let each stretch of the steps tell the values of the curves on these axes."""
    labels = {line.get_label() for line in axes.lines}
    shown = {label: column for column, label in LABELS.items() if label in labels}
    for place in places_to_tell(len(history)):
        values = history.iloc[place]
        risks = "; ".join(f"{label} = {values[column]:.4g}" for label, column in shown.items())
        hover_over(axes, values["step"], f"{name}, step {values['step']:g}: {risks}")


def relearning_curve(relearning: pd.DataFrame, plain: float | None) -> Figure:
    """Share of sensitive samples, with its interval, over the steps of a fine-tuning.

    Args:
        relearning: columns step, non_sensitive_rate, low, high.
        plain: non-sensitive rate of the model that was never protected; None: unknown.
    """
    figure = Figure(figsize=(6.5, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        relearning["step"], 1 - relearning["non_sensitive_rate"], marker="o", label="PU model"
    )
    axes.fill_between(relearning["step"], 1 - relearning["high"], 1 - relearning["low"], alpha=0.2)
    if plain is not None:
        axes.axhline(1 - plain, linestyle="--", color="#d62728", label="unsupervised training")
    axes.set_xlabel("step of fine-tuning on U")
    axes.set_ylabel("share of sensitive samples")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def watched_curve(looks: pd.DataFrame) -> Figure:
    """Non-sensitive rate with its interval, and Frechet distance, over the training steps.

    Args:
        looks: columns step, non_sensitive_rate, low, high, frechet_distance.
    """
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(looks["step"], looks["non_sensitive_rate"], marker="o")
    left.fill_between(looks["step"], looks["low"], looks["high"], alpha=0.2)
    left.set_ylabel(METRICS["nsr"].name)
    right.plot(looks["step"], looks["frechet_distance"], marker="o")
    right.set_ylabel(METRICS["distance"].name)
    for axes in (left, right):
        axes.set_xlabel("training step")
        axes.grid(alpha=0.3)
    return figure
