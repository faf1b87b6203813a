"""A metric is declared once: an entry of the registry, and everything shows it."""

import numpy as np
import pandas as pd
import pytest

from pu_diffusion_pipeline.metrics.registry import (
    METRICS,
    Evaluated,
    Metric,
    measured_values,
    metric_values,
)
from pu_diffusion_pipeline.reports.figures import beta_curves
from pu_diffusion_pipeline.reports.interactive import interactive_beta_curves
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.runs import baseline_of, over_beta, select_runs, summarize
from pu_diffusion_pipeline.reports.summary import summary_table
from pu_diffusion_pipeline.reports.tables import comparison_table, formatted

PAIRED = ReportingOptions(significance="paired", level=0.05)


def record(method: str, seed: int, rate: float, beta: float | None = None, **more) -> dict:
    made = {"benchmark": "b", "seed": seed, **({} if beta is None else {"beta": beta})}
    return {
        "method": method,
        "settings": made,
        "non_sensitive_rate": {
            "value": rate,
            "low": rate - 0.01,
            "high": rate + 0.01,
            "corrected": None,
            "num_normal": 9,
            "num_samples": 10,
            "judge": {"weights_digest": "j", "accuracy": 0.99},
        },
        "fidelity": {
            "frechet_distance": 80.0 - seed,
            "kernel_distance": 1.0 + seed,
            "precision": 0.5,
            "recall": 0.9,
            "extractor": "judge",
            "weights_digest": "w",
            "num_samples": 10,
            "num_reference": 5,
            "kid_subsets": 1,
            "kid_subset_size": 2,
            "neighborhood": 3,
        },
        "training": {
            "beta": None if beta is None else {"value": beta},
            "num_steps": 900,
            "seconds": 100.0,
        },
        **more,
    }


def runs() -> dict[str, dict]:
    return {
        f"{method}/{seed}/{beta}": record(method, seed, 0.9, beta, spread=2.0 + seed)
        for method, beta in (("unsupervised", None), ("pu", 0.1), ("pu", 0.2))
        for seed in (0, 1)
    }


@pytest.fixture
def spread(monkeypatch) -> Metric:
    """One more metric, for as long as a test runs."""
    metric = Metric(
        path="spread",
        name="spread of the features",
        symbol="spread",
        digits=".1f",
        higher_is_better=False,
        is_main=True,
        measure=lambda evaluated: float(evaluated.features.std()),
    )
    monkeypatch.setitem(METRICS, "spread", metric)
    return metric


def test_a_metric_with_a_measure_is_computed_and_the_others_are_not(spread):
    features = np.array([[1.0, 3.0]])
    evaluated = Evaluated(features, features, pd.DataFrame({"judged_sensitive": [False]}))
    assert measured_values(evaluated) == {"spread": 1.0}


def test_without_such_a_metric_records_have_nothing_more():
    assert measured_values(Evaluated(np.ones((1, 1)), np.ones((1, 1)), pd.DataFrame())) == {}


def test_one_entry_puts_a_metric_into_every_table_and_figure(spread):
    table = comparison_table([record("pu", 0, 0.9, 0.1, spread=2.0)])
    assert table["spread"].tolist() == [2.0]
    assert formatted(table)["spread ↓"].tolist() == ["2.0"]

    asked = {method: {"benchmark": "b"} for method in ("unsupervised", "pu")}
    selected = select_runs(runs(), asked).runs
    assert selected["spread"].tolist() == [2.0, 3.0] * 3
    summary = summarize(selected, PAIRED)
    assert summary["spread_mean"].tolist() == [2.5] * 3
    assert summary["spread_note"].tolist()[0] == "best"
    text = summary_table(summary, None).rows
    assert text["spread ↓"].tolist() == ["2.5 ± 0.7"] * 3
    assert "p spread" in text

    points, baseline = over_beta(selected), baseline_of(selected)
    panels = [axes.get_ylabel() for axes in beta_curves(points, {}, baseline).axes]
    assert panels == ["non-sensitive rate", "Frechet distance", "spread of the features"]
    shown = interactive_beta_curves(points, {}, baseline).layout.annotations
    assert "spread of the features" in [note.text for note in shown]


def test_a_record_older_than_the_metric_has_no_value(spread):
    old = {name: {**one, "spread": None} for name, one in runs().items()}
    assert metric_values(record("pu", 0, 0.9), counts=False)["spread"] is None
    assert formatted(comparison_table([record("pu", 0, 0.9, 0.1)]))["spread ↓"].tolist() == ["n/a"]
    asked = {method: {"benchmark": "b"} for method in ("unsupervised", "pu")}
    for name in ("unsupervised/0/None", "unsupervised/1/None", "pu/0/0.1", "pu/1/0.1"):
        old[name] = runs()[name]
    text = summary_table(summarize(select_runs(old, asked).runs, PAIRED), None).rows
    assert text["spread ↓"].tolist() == ["2.5 ± 0.7", "2.5 ± 0.7", "n/a"]
    assert text["p spread"].tolist() == ["best", "1.000", "n/a (no value)"]


def test_every_symbol_and_path_is_given_once():
    for values in (
        [one.symbol for one in METRICS.values()],
        [one.path for one in METRICS.values()],
    ):
        assert len(set(values)) == len(values)
    assert METRICS["distance"].symbol_on("judge (84 features)") == "FD"
    assert METRICS["distance"].symbol_on("inception-v3-compat 2048") == "FID"
    assert METRICS["distance"].heading_on("inception-v3-compat 2048") == "FID ↓"
