"""The report's grids: a button for each method, frames, blur, and how many show each class."""

import base64
import io
import re

import numpy as np
import pandas as pd
from PIL import Image

from pu_diffusion_pipeline.reports.samples import (
    SHOWN,
    classes_figure,
    grid,
    render_classes,
    render_given,
    render_samples,
)

RNG = np.random.default_rng(0)
RED = (214, 39, 40)


def noise(count: int, channels: int = 1, size: int = 12) -> np.ndarray:
    return RNG.integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def pixels(source: str) -> np.ndarray:
    data = base64.b64decode(source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_each_method_has_a_button_and_a_grid_and_the_last_is_shown_first():
    framed = np.zeros(100, dtype=bool)
    framed[:7] = framed[90:] = True
    methods = {"unsupervised": (noise(100), framed), "pu": (noise(100), ~framed)}
    html = render_samples(methods, is_blurred=False)
    assert html.count('<input type="radio"') == html.count("<img") == 2
    assert re.findall(r'id="method-(\d)" checked', html) == ["2"]
    assert "unsupervised: 7 of these\n64 samples" in html
    assert f"pu: 57 of these\n{SHOWN} samples" in html
    assert "<script" not in html
    assert "a filter leaves some out" not in html
    filtered = render_samples({"pu_filtered": (noise(4), framed[:4])}, is_blurred=False)
    assert "a filter leaves some out" in filtered


def test_sensitive_images_are_framed_and_blurred_on_request_only():
    images, framed = noise(2), np.array([True, False])
    plain = pixels(grid("pu", (images, framed), is_blurred=False).source)
    blurred = pixels(grid("pu", (images, framed), is_blurred=True).source)
    assert tuple(plain[0, 0]) == tuple(blurred[0, 0]) == RED
    first, second = (slice(2, 14), slice(2, 14)), (slice(2, 14), slice(18, 30))
    np.testing.assert_array_equal(plain[first][..., 0], images[0, 0])
    assert blurred[first].std() < 0.2 * plain[first].std()
    np.testing.assert_array_equal(plain[second], blurred[second])


def test_a_grid_of_large_images_stays_small():
    shown = grid("pu", (noise(64, 3, 256), np.zeros(64, dtype=bool)), is_blurred=False)
    assert shown.width == 960
    assert len(shown.source) < 700_000


def test_what_was_given_shows_s_unrecognisable():
    html = render_given(noise(3), noise(3))
    unlabeled, sensitive = (pixels(one) for one in re.findall(r'src="([^"]+)"', html))
    inner = (slice(2, 14), slice(2, 14))
    assert sensitive[inner].std() < 0.2 * unlabeled[inner].std()


def test_bars_count_the_classes_and_mark_the_sensitive_ones():
    first = pd.DataFrame({"predicted_class": [0, 0, 1], "judged_sensitive": [False, False, True]})
    second = pd.DataFrame({"predicted_class": [0], "judged_sensitive": [False]})
    (axes,) = classes_figure({"unsupervised": first, "pu": second}).axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[2, 1], [1, 0]]
    assert [bar.get_hatch() for bar in axes.containers[0]] == ["", "///"]
    own = pd.DataFrame({"predicted_class": [0] * 3, "judged_sensitive": [True, False, False]})
    assert classes_figure({"pu": own}).axes[0].containers[0][0].get_hatch() == ""
    assert render_classes({"pu": first.drop(columns="predicted_class")}) == ""
