import base64
import io
import re
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.reports.figure_files import (
    MOST_TOLD,
    figure_section,
    hover,
    places_to_tell,
    to_svg,
)
from pu_diffusion_pipeline.reports.figures import (
    FRAME,
    LABELS,
    SMALLEST_SHOWN,
    beta_curves,
    image_panels,
    mosaic,
    ratio_figure,
    sample_panels,
    training_curves,
)

SIDE, BORDER = 8, 2
TILE = SIDE + 2 * BORDER
WHITE = (255, 255, 255)


def plain_images(count: int, channels: int = 1) -> np.ndarray:
    """Image i is grey level 10 i."""
    levels = 10 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, channels, SIDE, SIDE)).copy()


def tile(picture: np.ndarray, row: int, column: int) -> tuple[np.ndarray, set]:
    """Pixels of a tile's image, and the colours of its border."""
    whole = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
    border = np.ones((TILE, TILE), dtype=bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    return whole[BORDER:-BORDER, BORDER:-BORDER], {tuple(pixel.tolist()) for pixel in whole[border]}


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_row_by_row_and_those_marked_have_a_red_frame(channels):
    framed = np.array([False, True, False, False, True])
    picture = np.asarray(mosaic(plain_images(5, channels), columns=3, framed=framed, border=BORDER))
    assert picture.shape == (2 * TILE, 3 * TILE, 3)
    for index in range(5):
        pixels, border = tile(picture, *divmod(index, 3))
        assert np.unique(pixels).tolist() == [10 * index]
        assert border == {FRAME if framed[index] else WHITE}
    pixels, border = tile(picture, 1, 2)
    assert np.unique(pixels).tolist() == [255], "an empty place is white"
    assert border == {WHITE}


def test_without_marks_nothing_is_framed():
    picture = np.asarray(mosaic(plain_images(4), columns=2))
    assert not (picture == FRAME).all(axis=-1).any()


def test_colours_stay_those_of_the_channels():
    image = np.zeros((1, 3, SIDE, SIDE), dtype=np.uint8)
    image[0, 0], image[0, 1], image[0, 2] = 200, 100, 50
    image[0, :, 0, 0] = 7, 8, 9
    pixels, _ = tile(np.asarray(mosaic(image, columns=1, border=BORDER)), 0, 0)
    assert tuple(pixels[3, 3]) == (200, 100, 50)
    assert tuple(pixels[0, 0]) == (7, 8, 9)


def test_grids_show_the_first_images_of_every_method_and_count_the_sensitive_ones_shown():
    sensitive = np.array([True, False, False, True, True, True])
    panels = sample_panels(
        {"unsupervised": (plain_images(6), sensitive), "pu": (plain_images(6), ~sensitive)}, count=4
    )
    figure = image_panels(panels, columns=2)
    left, right = figure.axes
    assert left.get_title() == "unsupervised: 2 of 4 judged sensitive"
    assert right.get_title() == "pu: 2 of 4 judged sensitive"
    for axes, marked in ((left, sensitive), (right, ~sensitive)):
        picture = np.asarray(axes.images[0].get_array())
        assert picture.shape == (2 * TILE, 2 * TILE, 3)
        for index in range(4):
            pixels, border = tile(picture, *divmod(index, 2))
            assert np.unique(pixels).tolist() == [10 * index]
            assert border == {FRAME if marked[index] else WHITE}


def test_one_method_alone_is_drawn_too():
    figure = image_panels(
        sample_panels({"pu": (plain_images(4), np.zeros(4, dtype=bool))}), columns=2
    )
    assert [axes.get_title() for axes in figure.axes] == ["pu: 0 of 4 judged sensitive"]


def histories() -> dict[str, pd.DataFrame]:
    """20 steps; in the first two, which are left out, everything is enormous."""
    steps = np.arange(1, 21)
    steep = np.where(steps <= 2, 1e6, 1.0)
    plain = pd.DataFrame({"step": steps, "loss": 5.0, "unlabeled_negative": steep * (100 - steps)})
    barrier = np.where(steps == 10, 0.0, 1e-3 / steps)
    both = plain.assign(
        sensitive_negative=steep * (50 + steps),
        normal=steep * (9 - steps),
        sensitive_positive=barrier,
    )
    return {"unsupervised": plain, "pu": both}


def curves(axes) -> dict[str, tuple[list, list]]:
    return {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
        if not line.get_label().startswith("_")  # what tells values under the mouse
    }


def test_curves_are_the_risks_of_the_history_after_its_first_tenth():
    plain_errors, errors, plain_barrier, barrier = training_curves(histories()).axes
    assert [plain_errors.get_title(), errors.get_title()] == ["unsupervised", "pu"]
    steps = list(range(3, 21))
    assert curves(plain_errors) == {
        LABELS["unlabeled_negative"]: (steps, [100 - step for step in steps])
    }
    assert curves(errors) == {
        LABELS["unlabeled_negative"]: (steps, [100 - step for step in steps]),
        LABELS["sensitive_negative"]: (steps, [50 + step for step in steps]),
        LABELS["normal"]: (steps, [9 - step for step in steps]),
    }
    assert curves(plain_barrier) == {}
    assert curves(barrier) == {
        LABELS["sensitive_positive"]: (
            steps,
            [SMALLEST_SHOWN if step == 10 else 1e-3 / step for step in steps],
        )
    }


def test_methods_are_drawn_on_one_scale_that_holds_every_value():
    plain_errors, errors, plain_barrier, barrier = training_curves(histories()).axes
    assert plain_errors.get_ylim() == errors.get_ylim()
    assert plain_barrier.get_ylim() == barrier.get_ylim()
    assert errors.get_ylim()[0] <= -11
    assert 97 <= errors.get_ylim()[1] < 1000
    assert barrier.get_yscale() == "log"


def test_curves_of_a_single_row_are_drawn():
    row = {
        "pu": pd.DataFrame({"step": [1], "unlabeled_negative": [5.0], "sensitive_positive": [0.1]})
    }
    errors, barrier = training_curves(row).axes
    assert curves(errors) == {LABELS["unlabeled_negative"]: ([1], [5.0])}
    assert curves(barrier) == {LABELS["sensitive_positive"]: ([1], [0.1])}


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def test_svg_is_an_element_without_the_header_of_a_file():
    text = to_svg(small_figure())
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")


def test_interactive_grids_hold_the_same_pictures():

    from pu_diffusion_pipeline.reports.interactive import interactive_panels

    panels = {
        "U": (plain_images(4), None),
        "pu": (plain_images(4), np.array([True, False, False, False])),
    }
    figure = interactive_panels(panels, columns=2)
    assert [note.text for note in figure.layout.annotations] == ["U", "pu"]
    for trace, (images, framed) in zip(figure.data, panels.values(), strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(trace.source.partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(mosaic(images, 2, framed)))


def test_the_points_of_figure_4_tell_their_values_under_the_mouse():
    points = pd.DataFrame({"beta": [0.1, 0.2], "n": [5, 1]})
    for column, value in (("nsr", 0.947), ("distance", 44.1)):
        points[[column, f"{column}_low", f"{column}_high"]] = value
    svg = to_svg(beta_curves(points, {}, None))
    assert re.findall("<title>(.*?)</title>", svg) == [
        f"beta {beta}: {metric}, n = {n}"
        for metric in ("non-sensitive rate 0.947", "Frechet distance 44.10")
        for beta, n in ((0.1, 5), (0.2, 1))
    ]


def told(svg: str) -> list[str]:
    return re.findall("<title>(.*?)</title>", svg)


def test_the_curves_of_a_training_tell_their_values_at_some_steps():
    shown = told(to_svg(training_curves(histories())))
    assert shown[0] == "unsupervised, step 3: error on U = 97"
    assert shown[17] == "unsupervised, step 20: error on U = 80"
    assert "pu, step 10: error on U = 90; error on S = 60; normal risk, U − β S = -1" in shown
    assert "pu, step 10: −log(1 − exp(−error)) on S = 0" in shown
    assert len(shown) == 3 * 18  # the plain training has no R_S+


def test_the_curve_of_the_class_prior_tells_its_values_and_the_estimate():
    scores = Scores(np.arange(1000.0), np.arange(-9000.0, 1000.0))
    prior = {"delta": 0.1, "estimate": 0.1, "upper": 0.2, "share_of_labeled_above": 1.0}
    shown = told(to_svg(ratio_figure(scores, prior, None)))
    assert len(shown) == MOST_TOLD + 1
    assert shown[0].startswith("share of S 1.000: r(c) = 0.1000; bound = 0.1")
    assert shown[-2:] == [
        "share of S 0.001: r(c) = 0.1000; bound = none",
        "estimate 0.1000, at share of S 1.000",
    ]
    without = ratio_figure(scores, {**prior, "estimate": None}, None)
    assert len(told(to_svg(without))) == MOST_TOLD


@pytest.mark.parametrize("count", [0, 1, 2, MOST_TOLD, MOST_TOLD + 1, 10**6])
def test_places_that_tell_are_few_and_have_both_ends(count):
    places = places_to_tell(count)
    assert len(set(places)) == len(places) == min(count, MOST_TOLD)
    assert [*places[:1], *places[-1:]] == ([0, count - 1] if count else [])


def test_a_long_training_makes_no_large_figure():
    steps = np.arange(1, 10_001)
    long = pd.DataFrame({"step": steps, "unlabeled_negative": np.sin(steps)})
    plain, one = (len(to_svg(training_curves(runs))) for runs in ({"pu": long[:2]}, {"pu": long}))
    assert one - plain < 300_000


def test_values_of_a_figure_can_be_read_below_it_too():
    figure = small_figure()
    hover(figure.axes[0], 0, 0, "<b> & 'b'")
    section = figure_section(to_svg(figure), 'a "b"')
    assert section.count("<svg") == 1
    assert "<li>&lt;b&gt; &amp; &#39;b&#39;</li>" in section
    assert 'aria-label="a &#34;b&#34;"' in section
    assert "<details>" not in figure_section(to_svg(small_figure()), "nothing told")


def test_what_a_point_tells_is_text_whatever_it_holds():
    figure = small_figure()
    hover(figure.axes[0], 0, 0, "<b>\"a\" & 'b'</b> \u202eabc")
    svg = to_svg(figure)
    assert "<b>" not in svg
    title = ET.fromstring(svg).find(".//{http://www.w3.org/2000/svg}title")
    assert title.text == "<b>\"a\" & 'b'</b> \u202eabc"


def test_no_images_make_a_picture_too():
    empty = mosaic(np.zeros((0, 1, 4, 4), dtype=np.uint8), columns=8)
    assert empty.size == (64, 8)
