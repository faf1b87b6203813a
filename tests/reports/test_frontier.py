"""Which methods are on the front, and what the figure shows."""

import pandas as pd

from pu_diffusion_pipeline.reports import frontier
from pu_diffusion_pipeline.reports.frontier import (
    frontier_figure,
    frontier_points,
    interactive_frontier,
)


def runs(*rows: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "beta": 0.1 if method == "pu" else None,
            "gamma": None,
            "seed": 0,
            "nsr": rate,
            "nsr_low": rate - 0.01,
            "nsr_high": rate + 0.01,
            "distance": distance,
        }
        for method, rate, distance in rows
    )


SHOWN = runs(
    ("unsupervised", 0.87, 56.0),
    ("pu", 0.95, 42.0),
    ("clean", 0.94, 38.0),
    ("pu_clean", 0.94, 45.0),
    ("oracle", 0.99, 30.0),
)


def test_the_front_holds_what_nothing_beats_and_never_the_reference():
    points = frontier_points(SHOWN).set_index("method")
    assert points["is_on_front"].to_dict() == {
        "unsupervised": False,
        "pu": True,
        "clean": True,
        "pu_clean": False,  # clean has the same rate at a smaller distance
        "oracle": False,
    }


def test_equal_points_are_both_on_the_front():
    points = frontier_points(runs(("clean", 0.9, 40.0), ("pu_clean", 0.9, 40.0)))
    assert points["is_on_front"].all()


def test_seeds_give_a_mean_and_one_standard_deviation():
    twice = pd.concat([runs(("clean", 0.9, 40.0)), runs(("clean", 0.94, 44.0))])
    (point,) = frontier_points(twice).to_dict("records")
    assert (point["n"], round(point["nsr"], 9), point["distance"]) == (2, 0.92, 42.0)
    assert round(point["distance_high"] - point["distance"], 6) == round(8**0.5, 6)


def test_both_figures_show_every_method_by_its_name():
    points = frontier_points(SHOWN)
    (axes,) = frontier_figure(points).axes
    labels = {text.get_text() for text in axes.texts}
    assert labels == {"unsupervised", "pu, β 0.1", "clean", "pu_clean", "oracle"}
    assert {trace.name for trace in interactive_frontier(points).data} == labels


def test_labels_of_points_that_are_close_stand_apart():
    points = pd.DataFrame({"distance": [40.0, 41.0, 60.0], "nsr": [0.95, 0.951, 0.9]})
    heights = frontier._label_heights(points)
    assert heights[0] == heights[2] == 5
    assert heights[1] < -8
