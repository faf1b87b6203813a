"""The page on which a person looks through the most suspicious images of U."""

import base64
import io

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.reports.figures import mosaic
from pu_diffusion_pipeline.reports.templates import template

MOST_SHOWN = 300  # images on the page; the list has all


def review_list(order: pd.DataFrame, raw_index: pd.DataFrame) -> pd.DataFrame:
    """The order of review with the images' paths; of a source without paths, with their digests.

    Args:
        order: `classifier.review_order`.
        raw_index: the source's index.
    """
    column = "path" if "path" in raw_index else "sha256"
    named = raw_index[raw_index["position"].notna()].astype({"position": int})
    paths = named.set_index("position").loc[order["position"], column].to_numpy()
    return order.assign(path=paths)[["path", "position", "probability"]]


def render_review(benchmark: str, review: pd.DataFrame, images: np.ndarray, row: pd.Series) -> str:
    """The page as HTML: images in the order of their probability, blurred until clicked.

    Args:
        benchmark: its name.
        review: `review_list`.
        images: U, (N, C, H, W) uint8.
        row: position in the source to row in `images`.
    """
    shown = review.head(MOST_SHOWN)
    rows = [
        {
            "path": one.path,
            "probability": one.probability,
            "png": png_of(images[row[one.position]]),
        }
        for one in shown.itertuples()
    ]
    return template("review.html.jinja").render(
        benchmark=benchmark,
        rows=rows,
        total=len(review),
        expected=round(float(shown["probability"].sum())),
    )


def png_of(image: np.ndarray) -> str:
    """A (C, H, W) uint8 image as base64 text of a PNG."""
    buffer = io.BytesIO()
    mosaic(image[None], 1).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
