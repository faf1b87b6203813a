"""Which methods are on the front, and what the figure shows."""

import pandas as pd

from conftest import REPO
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.pipelines.reporting import nodes
from pu_diffusion_pipeline.reports.frontier import (
    CallsPerImage,
    frontier_figure,
    frontier_points,
    frontier_table,
    interactive_frontier,
    with_checks,
)


def runs(*rows: tuple[str, float, float], seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": f"{method}/seed_{seed}",
            "method": method,
            "beta": 0.1 if method == "pu" else None,
            "gamma": None,
            "seed": seed,
            "nsr": rate,
            "nsr_low": rate - 0.01,
            "nsr_high": rate + 0.01,
            "distance": distance,
            "precision": 0.7,
            "recall": 0.9,
            "train_seconds": 60.0,
        }
        for method, rate, distance in rows
    )


def points_of(table: pd.DataFrame, opinions=None, relearned=None) -> pd.DataFrame:
    return frontier_points(with_checks(table, opinions or {}, relearned or {}), calls_per_image())


def calls_per_image(**guiding) -> CallsPerImage:
    parameters = open_loader(REPO / "conf", None, {"guiding": guiding}).final_parameters()
    sections = ("sampling", "guiding", "filtering", "noise")
    return CallsPerImage(*(getattr(parameters, name) for name in sections))


def opinion(rate: float, **classes: int) -> dict[str, object]:
    counts = {name.removeprefix("c"): count for name, count in classes.items()}
    return {
        "non_sensitive_rate": rate,
        "both": rate - 0.01,
        "near_labeled_sensitive": 0.5,
        "classes": counts,
    }


SHOWN = runs(
    ("unsupervised", 0.87, 56.0),
    ("pu", 0.95, 42.0),
    ("clean", 0.94, 38.0),
    ("pu_clean", 0.94, 45.0),
    ("oracle", 0.99, 30.0),
)


def test_the_front_holds_what_nothing_beats_and_never_the_reference():
    points = points_of(SHOWN).set_index("method")
    assert points["is_on_front"].to_dict() == {
        "unsupervised": False,
        "pu": True,
        "clean": True,
        "pu_clean": False,  # clean has the same rate at a smaller distance
        "oracle": False,
    }


def test_a_method_without_a_rate_is_not_on_the_front():
    points = points_of(runs(("clean", float("nan"), 40.0), ("pu_clean", 0.9, 45.0)))
    assert points["is_on_front"].tolist() == [False, True]


def test_equal_points_are_both_on_the_front():
    points = points_of(runs(("clean", 0.9, 40.0), ("pu_clean", 0.9, 40.0)))
    assert points["is_on_front"].all()


def test_seeds_give_a_mean_and_one_standard_deviation():
    twice = pd.concat([runs(("clean", 0.9, 40.0)), runs(("clean", 0.94, 44.0), seed=1)])
    (point,) = points_of(twice).to_dict("records")
    assert (point["n"], round(point["nsr"], 9), point["distance"]) == (2, 0.92, 42.0)
    assert round(point["distance_high"] - point["distance"], 6) == round(8**0.5, 6)


def test_both_figures_show_every_method_by_its_name():
    points = points_of(SHOWN)
    (axes,) = frontier_figure(points).axes
    labels = {text.get_text() for text in axes.get_legend().texts}
    assert labels == {"unsupervised", "pu, β 0.1", "clean", "pu_clean", "oracle"}
    assert {trace.name for trace in interactive_frontier(points).data} == labels


def test_what_the_second_judge_says_is_averaged_over_the_runs_it_was_asked_about():
    table = pd.concat([runs(("clean", 0.9, 40.0), seed=seed) for seed in range(3)])
    said = {"clean/seed_0": opinion(0.9, c0=5, c2=3), "clean/seed_1": opinion(0.8, c0=1)}
    said["pu/seed_0"] = opinion(0.1, c7=9)  # of a run that is not in the table
    (point,) = points_of(table, said, {"clean/seed_2": {"non_sensitive_rate": 0.7}}).to_dict(
        "records"
    )
    assert round(point["second_nsr"], 9) == 0.85
    assert (point["class_0"], point["class_2"], point["relearned_nsr"]) == (3.0, 1.5, 0.7)
    (row,) = frontier_table(pd.DataFrame([point])).rows.to_dict("records")
    assert (row["second judge"], row["relearned"]) == ("0.850 (2 of 3)", "0.700 (1 of 3)")
    assert "class_7" not in point


def test_a_method_costs_the_training_of_every_model_that_it_draws_from():
    table = runs(("unsupervised", 0.9, 50.0), ("pu", 0.95, 40.0), ("pu_guided", 0.96, 45.0))
    table["train_seconds"] = [50.0, 70.0, 70.0]
    points = points_of(table).set_index("method")
    assert points["train_seconds"].to_dict() == {"unsupervised": 50, "pu": 70, "pu_guided": 120}
    assert points_of(table[1:])["train_seconds"].isna().tolist() == [False, True]
    filtered = runs(("pu_clean_filtered", 0.98, 40.0)).assign(train_seconds=65.0)
    assert points_of(filtered)["train_seconds"].tolist() == [65]  # pu_clean itself was not judged
    other = runs(("pu", 0.9, 30.0), seed=1).assign(beta=0.2, train_seconds=90.0)
    assert points_of(pd.concat([table[1:2], other]))["train_seconds"].tolist() == [70, 90]


def test_calls_count_both_networks_where_both_are_asked_and_what_a_filter_drops():
    usual = calls_per_image()
    assert usual.of(METHODS["pu"]) == 30
    assert usual.of(METHODS["pu_guided"]) == 60
    (upper, lower) = (
        calls_per_image(timesteps=part).of(METHODS["pu_guided"]) for part in ([400, 2000], [0, 400])
    )
    assert (upper, lower) == (56, 34)  # of 30 Karras steps 26 begin above timestep 400
    assert round(usual.of(METHODS["pu_filtered"]), 6) == round(30 / 0.9, 6)


def test_the_table_marks_the_front_and_leaves_out_checks_that_nobody_made():
    table = frontier_table(points_of(SHOWN))
    assert {table.rows["method"][row] for row, _ in table.bold} == {"pu, β 0.1", "clean"}
    assert not {"second judge", "relearned"} & set(table.rows)
    said = {"pu/seed_0": opinion(0.93, c0=4)}
    rows = frontier_table(points_of(SHOWN, said)).rows.set_index("method")
    assert rows["second judge"].to_dict() == {
        "unsupervised": "–",
        "pu, β 0.1": "0.930",
        "clean": "–",
        "pu_clean": "–",
        "oracle": "–",
    }


def test_the_report_has_a_section_on_all_methods_once_more_than_its_own_were_run():
    given = calls_per_image()._asdict()
    own = runs(("unsupervised", 0.87, 56.0), ("pu", 0.95, 42.0))
    assert nodes.render_frontier(own, {}, **given) == ""
    said = {"pu/seed_0": opinion(0.93, c0=4)}
    section = nodes.render_frontier(SHOWN, {}, all_second_opinions=said, **given)
    assert section.count("<svg") == 1
    assert "second judge" in section
    assert "pu_clean" in section
