"""The report's first screen: the same starting noise under each method, one grid at a time."""

import base64
import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageFilter

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.reports.figure_files import to_svg
from pu_diffusion_pipeline.reports.figures import Panel, mosaic
from pu_diffusion_pipeline.reports.templates import template

SHOWN = 64  # images of each method, in rows of COLUMNS
COLUMNS = 16
GIVEN = 32  # images of U and of S
WIDEST = 960  # pixels of a grid
# That colour-blind people tell apart (Okabe and Ito 2008).
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


class Grid(NamedTuple):
    """A picture of some images.

    Attributes:
        name: of the method or the set.
        source: a data URI.
        width: pixels.
        height: pixels.
        num_sensitive: how many of the images have a frame.
        num_images: how many there are.
    """

    name: str
    source: str
    width: int
    height: int
    num_sensitive: int
    num_images: int


def render_samples(methods: Mapping[str, Panel], *, is_blurred: bool) -> str:
    """The samples as HTML: a grid for each method, chosen by buttons that need no script.

    Image i of every grid was sampled from the same starting noise; a filter leaves some out.

    Args:
        methods: name to (images (N, C, H, W) uint8, judged_sensitive (N,) bool).
        is_blurred: whether images judged sensitive are made unrecognisable.
    """
    grids = [
        grid(name, (images[:SHOWN], framed[:SHOWN]), is_blurred=is_blurred)
        for name, (images, framed) in methods.items()
        if framed is not None
    ]
    is_filtered = any("filtering" in METHODS[grid.name].sections for grid in grids)
    return template("samples.html.jinja").render(
        grids=grids, is_blurred=is_blurred, is_filtered=is_filtered
    )


def render_given(unlabeled: np.ndarray, labeled_sensitive: np.ndarray) -> str:
    """Examples of what was given, U and S, as HTML. Those of S are blurred.

    Args:
        unlabeled: (N, C, H, W) uint8.
        labeled_sensitive: (M, C, H, W) uint8.
    """
    sensitive = labeled_sensitive[:GIVEN]
    marked = (sensitive, np.ones(len(sensitive), dtype=bool))
    grids = [
        grid("U, unlabeled", (unlabeled[:GIVEN], None), is_blurred=False),
        grid("S, labeled sensitive (blurred)", marked, is_blurred=True),
    ]
    return template("given.html.jinja").render(grids=grids)


def grid(name: str, panel: Panel, *, is_blurred: bool) -> Grid:
    """Images in rows; sensitive ones have a frame."""
    images, framed = panel
    images = np.asarray(images)
    if is_blurred and framed is not None and len(images):
        images = np.stack(
            [_blurred(one) if here else one for one, here in zip(images, framed, strict=True)]
        )
    picture = mosaic(images, COLUMNS, framed)
    if picture.width > WIDEST:
        size = (WIDEST, round(picture.height * WIDEST / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    num_sensitive = 0 if framed is None else int(framed.sum())
    source = _data_uri(picture, is_grey=images.shape[1] == 1)
    return Grid(name, source, *picture.size, num_sensitive, len(images))


def _blurred(image: np.ndarray) -> np.ndarray:
    """(C, H, W): a sixth of the side wide, so that the content cannot be recognised."""
    planes = [
        Image.fromarray(plane).filter(ImageFilter.GaussianBlur(plane.shape[0] / 6))
        for plane in image
    ]
    return np.stack([np.asarray(plane) for plane in planes])


def _data_uri(picture: Image.Image, *, is_grey: bool) -> str:
    """PNG for grey images; JPEG for those with colours, whose PNG would be large."""
    kind, options = ("PNG", {"optimize": True}) if is_grey else ("JPEG", {"quality": 88})
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def render_classes(judgements: Mapping[str, pd.DataFrame]) -> str:
    """How many samples of each method show each class, by the judge, as SVG; empty without classes.

    Args:
        judgements: method to a row per sample: `predicted_class` and `judged_sensitive`.
    """
    counted = {name: one for name, one in judgements.items() if "predicted_class" in one}
    return to_svg(classes_figure(counted)) if counted else ""


def classes_figure(judgements: Mapping[str, pd.DataFrame]) -> Figure:
    """Bars side by side for each class; hatched where most samples are judged sensitive.

    By the judge of the classes that is all of them or none; a judge of one's own may say otherwise.
    """
    whole = pd.concat(judgements)
    sensitive = whole.groupby("predicted_class")["judged_sensitive"].mean() > 0.5
    figure = Figure(figsize=(8.5, 3.0), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(judgements)
    places = np.arange(len(sensitive))
    for number, (name, one) in enumerate(judgements.items()):
        counts = one["predicted_class"].value_counts().reindex(sensitive.index, fill_value=0)
        bars = axes.bar(
            places + number * width, counts, width, label=name, color=COLORS[number % len(COLORS)]
        )
        for bar, is_sensitive in zip(bars, sensitive, strict=True):
            bar.set_hatch("///" if is_sensitive else "")
            bar.set_edgecolor("white")
    middle = places + 0.4 - width / 2
    axes.set_xticks(middle, [str(one) for one in sensitive.index])
    axes.set_xlabel("class, by the judge; hatched: sensitive")
    axes.set_ylabel("samples")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.18)
    axes.legend(fontsize=8, frameon=False, ncols=min(len(judgements), 4))
    return figure
