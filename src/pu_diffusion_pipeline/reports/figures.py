"""Figures: sample grids with the sensitive ones framed, training curves."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve

FRAME = (214, 39, 40)  # red
SMALLEST_SHOWN = 1e-30
BETA_PANELS = {"nsr": "non-sensitive rate", "distance": "Frechet distance"}
LABELS = {
    "unlabeled_negative": "error on U",
    "sensitive_negative": "error on S",
    "sensitive_positive": "−log(1 − exp(−error)) on S",
    "normal": "normal risk, U − β S",
}


def mosaic(images: np.ndarray, columns: int, framed: np.ndarray | None = None, border: int = 2) -> Image.Image:
    """Images in rows; those marked in `framed` get a red frame.

    Args:
        images: (N, C, H, W) uint8, C = 1 or 3.
        columns: images in a row.
        framed: (N,) bool.
        border: pixels around each image.
    """
    count, _, height, width = images.shape
    rows = -(-count // columns)
    tall, wide = height + 2 * border, width + 2 * border
    canvas = np.full((rows * tall, columns * wide, 3), 255, dtype=np.uint8)
    for index, image in enumerate(np.asarray(images)):
        top, left = index // columns * tall, index % columns * wide
        if framed is not None and framed[index]:
            canvas[top : top + tall, left : left + wide] = FRAME
        pixels = np.broadcast_to(image.transpose(1, 2, 0), (height, width, 3))
        canvas[top + border : top + border + height, left + border : left + border + width] = pixels
    return Image.fromarray(canvas)


def sample_panels(
    methods: dict[str, tuple[np.ndarray, np.ndarray]], count: int = 100
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Panels of the first samples of each method; image i of every grid grew from the same starting noise.

    Args:
        methods: name to (images (N, C, H, W) uint8, judged_sensitive (N,) bool).
        count: images of each method.
    """
    return {
        f"{name}: {int(sensitive[:count].sum())} of {len(sensitive[:count])} judged sensitive": (
            images[:count],
            sensitive[:count],
        )
        for name, (images, sensitive) in methods.items()
    }


def image_panels(panels: dict[str, tuple[np.ndarray, np.ndarray | None]], columns: int = 8) -> Figure:
    """Grids side by side, each with its title (Figures 1 to 3).

    Args:
        panels: title to (images (N, C, H, W) uint8, which to frame (N,) bool or None).
        columns: images in a row.
    """
    figure = Figure(figsize=(0.45 * columns * len(panels), 0.45 * columns + 0.4), layout="constrained")
    for axes, (title, (images, framed)) in zip(
        np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True
    ):
        axes.imshow(mosaic(images, columns, framed), interpolation="nearest")
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    return figure


def beta_curves(points: pd.DataFrame, marks: dict[str, float], baseline: dict[str, float] | None) -> Figure:
    """Non-sensitive rate and Frechet distance against beta (Figure 4).

    Args:
        points: `runs.over_beta`.
        marks: label to a beta that is marked by a vertical line, such as the true share.
        baseline: `nsr` and `distance` of unsupervised training, or None.
    """
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    for axes, (metric, title) in zip(figure.subplots(1, 2), BETA_PANELS.items(), strict=True):
        spread = [points[metric] - points[f"{metric}_low"], points[f"{metric}_high"] - points[metric]]
        axes.errorbar(points["beta"], points[metric], yerr=spread, marker="o", capsize=3, linewidth=1.3, label="PU")
        if baseline is not None:
            axes.axhline(baseline[metric], color="tab:gray", linestyle="--", linewidth=1, label="unsupervised")
        for (label, beta), style in zip(marks.items(), (":", "-.", "--"), strict=False):
            axes.axvline(beta, color="tab:red", linestyle=style, linewidth=1, label=f"{label} ({beta:.3f})")
        axes.set(xlabel="beta", ylabel=title)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def ratio_figure(scores: Scores, prior: dict[str, Any]) -> Figure:
    """r(c) and its bound against the share of S above c; the estimate is r where the bound is smallest.

    Args:
        scores: of S and U.
        prior: the class prior's record, with the true share as `oracle`.
    """
    figure = Figure(figsize=(6.2, 3.4), layout="constrained")
    axes = figure.subplots()
    curve = ratio_curve(scores)
    axes.plot(curve.share_labeled, curve.ratio, linewidth=1.3, label="r(c) = share of U / share of S")
    axes.plot(curve.share_labeled, curve.bound(prior["delta"]), linewidth=1.1, linestyle=":", label="bound")
    if prior["estimate"] is not None:
        axes.plot([prior["share_of_labeled_above"]], [prior["estimate"]], "o", color="tab:red", label="estimate")
    axes.axhline(prior["oracle"], color="tab:gray", linestyle="--", linewidth=1, label="true share")
    axes.set(xlabel="share of S with a score above c", ylim=(0, min(1.0, 3 * max(prior["oracle"], prior["upper"]))))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


def training_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Risks over steps, a column per method on common scales; the first tenth, a steep fall, is left out.

    Above: the errors on U and S, which differ by little. Below: R_S+, which is many orders of magnitude smaller.
    """
    figure = Figure(figsize=(4.6 * len(histories), 4.6), layout="constrained")
    rows = figure.subplots(2, len(histories), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for (errors, barrier), (name, history) in zip(rows.T, histories.items(), strict=True):
        shown = history[history["step"] > history["step"].max() / 10]
        for column in ("unlabeled_negative", "sensitive_negative", "normal"):
            if column in shown:
                errors.plot(shown["step"], shown[column], label=LABELS[column], linewidth=1.3)
        if "sensitive_positive" in shown:
            values = shown["sensitive_positive"].clip(lower=SMALLEST_SHOWN)
            barrier.plot(shown["step"], values, label=LABELS["sensitive_positive"], color="tab:green", linewidth=1.3)
        errors.set_title(name)
        barrier.set(xlabel="step", yscale="log")
        for axes in (errors, barrier):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            if axes.lines:
                axes.legend(fontsize=8, frameon=False)
    rows[0, 0].set_ylabel("error per image")
    rows[1, 0].set_ylabel("R_S⁺")
    return figure


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element for HTML."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def to_png_base64(figure: Figure, dpi: int = 140) -> str:
    """The figure as base64 text of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()


def watched_curve(looks: pd.DataFrame) -> Figure:
    """Non-sensitive rate with its interval, and Frechet distance, over the training steps.

    Args:
        looks: columns step, non_sensitive_rate, low, high, frechet_distance.
    """
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(looks["step"], looks["non_sensitive_rate"], marker="o")
    left.fill_between(looks["step"], looks["low"], looks["high"], alpha=0.2)
    left.set_ylabel(BETA_PANELS["nsr"])
    right.plot(looks["step"], looks["frechet_distance"], marker="o")
    right.set_ylabel(BETA_PANELS["distance"])
    for axes in (left, right):
        axes.set_xlabel("training step")
        axes.grid(alpha=0.3)
    return figure
