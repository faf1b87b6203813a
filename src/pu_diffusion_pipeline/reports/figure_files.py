"""Figures as files, and as SVG in a page, where marks tell their values."""

import html
import io
import re
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pu_diffusion_pipeline.reports.templates import template

HOVER = "hover: "  # begins the id of a mark whose text a browser shows under the mouse
HOVER_ID = re.compile(rf'<g id="{HOVER}([^"]*)">')
TOLD = re.compile("<title>([^<]*)</title>")
MOST_TOLD = 20  # places of a curve that tell their values


def hover(axes: Axes, x: float, y: float, said: str) -> None:
    """Mark a point so that a browser shows a text under the mouse (`svg_element`)."""
    axes.plot([x], [y], marker="o", markersize=14, color="black", alpha=0, gid=HOVER + said)


def hover_over(axes: Axes, x: float, said: str) -> None:
    """As `hover`, for the whole height of the axes around x, of which `MOST_TOLD` stand abreast."""
    width = axes.bbox.width * 72 / axes.figure.dpi / MOST_TOLD  # in points
    axes.axvline(x, linewidth=width, color="black", alpha=0, gid=HOVER + said)


def places_to_tell(count: int) -> list[int]:
    """At most `MOST_TOLD` of the places 0 to count - 1, evenly, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_TOLD)).round().astype(int)).tolist()


def write_figure(figure: Figure, target: Path | IO[Any], kind: str, dpi: int = 140) -> None:
    """Write a figure; the same figure gives the same bytes.

    Args:
        figure: to write.
        target: a path or an open file.
        kind: as Matplotlib names formats: png, svg.
        dpi: pixels per inch of formats that have pixels.
    """
    metadata = {"Date": None} if kind == "svg" else None
    with mpl.rc_context({"svg.hashsalt": "figure"}):
        figure.savefig(target, format=kind, dpi=dpi, metadata=metadata)


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element for HTML."""
    buffer = io.StringIO()
    write_figure(figure, buffer, "svg")
    return svg_element(buffer.getvalue())


def svg_element(text: str) -> str:
    """An SVG file's element, for HTML; a browser shows the texts of `hover`."""
    return HOVER_ID.sub(r"<g><title>\1</title>", text[text.index("<svg") :])


def figure_section(svg: str, about: str) -> str:
    """An SVG element and, to be opened below it, the values that its marks tell.

    For those who have no mouse: on a phone, or with a screen reader.

    Args:
        svg: `to_svg` or `svg_element`.
        about: what the figure shows, for those who do not see it.
    """
    told = [html.unescape(text) for text in TOLD.findall(svg)]
    return template("figure.html.jinja").render(svg=svg, about=about, told=told)
