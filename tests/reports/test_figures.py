import base64
import io
import re
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pu_diffusion_pipeline.reports.figures import (
    FRAME,
    LABELS,
    SMALLEST_SHOWN,
    beta_curves,
    hover,
    image_panels,
    mosaic,
    sample_panels,
    to_svg,
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
