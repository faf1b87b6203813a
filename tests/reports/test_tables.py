import io

import pandas as pd
import pytest
from rich.console import Console

from pu_diffusion_pipeline.reports.summary import show_summary
from pu_diffusion_pipeline.reports.tables import (
    DISPENSABLE,
    comparison_markdown,
    comparison_table,
    formatted,
    result_line,
    show_comparison,
)


def record(
    method: str, rate: float, beta: float | None = None, extractor: str = "judge (84)", **rates
) -> dict:
    usual = {
        "value": rate,
        "low": rate - 0.01,
        "high": rate + 0.01,
        "corrected": rate + 0.005,
        "num_normal": round(2000 * rate),
        "num_samples": 2000,
        "judge": {"weights_digest": "j", "accuracy": 0.98},
    }
    return {
        "method": method,
        "settings": {"benchmark": "digits_even", "seed": 3},
        "non_sensitive_rate": {**usual, **rates},
        "fidelity": {
            "frechet_distance": 12.346,
            "kernel_distance": 0.00123,
            "precision": 0.71,
            "recall": 0.42,
            "extractor": extractor,
            "weights_digest": "w",
            "num_samples": 2000,
            "num_reference": 500,
            "kid_subsets": 100,
            "kid_subset_size": 250,
            "neighborhood": 3,
        },
        "training": {
            "beta": None if beta is None else {"value": beta, "source": "parameter"},
            "num_steps": 700,
            "seconds": 61.6,
        },
    }


def records(**changes) -> list[dict]:
    rates = {"unsupervised": (0.9,), "supervised": (0.92,), "pu": (0.97, 0.1)}
    return [record(method, *values, **changes) for method, values in rates.items()]


def test_table_has_a_row_per_method_with_the_values_of_its_record():
    table = comparison_table(records())
    assert table["method"].tolist() == ["unsupervised", "supervised", "pu"]
    row = table.iloc[2].to_dict()
    assert row == {
        "method": "pu",
        "beta": 0.1,
        "seed": 3,
        "nsr": 0.97,
        "nsr_low": 0.96,
        "nsr_high": 0.98,
        "nsr_corrected": 0.975,
        "num_normal": 1940,
        "num_samples": 2000,
        "distance": 12.346,
        "kid": 0.00123,
        "precision": 0.71,
        "recall": 0.42,
        "extractor": "judge (84)",
        "train_steps": 700,
        "train_seconds": 61.6,
        "is_estimated": False,
    }


def test_methods_without_beta_have_none():
    assert pd.isna(comparison_table(records())["beta"]).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("extractor", "symbol"),
    [("judge (LeNet-style, 84 features)", "FD"), ("inception-v3-compat 2048", "FID")],
)
def test_the_frechet_distance_is_called_fid_on_inception_features_only(extractor, symbol):
    table = comparison_table(records(extractor=extractor))
    assert "distance" in table.columns
    assert {"FD ↓", "FID ↓"} & set(formatted(table).columns) == {f"{symbol} ↓"}
    assert ("FID" in comparison_markdown(table)) == (symbol == "FID")


def test_formatted_values_are_rounded_for_reading():
    text = formatted(comparison_table(records()))
    assert text.iloc[2].to_dict() == {
        "method": "pu",
        "beta": "0.1",
        "non-sensitive rate": "0.970",
        "95 % interval": "0.960 – 0.980",
        "normal / samples": "1940 / 2000",
        "corrected": "0.975",
        "FD ↓": "12.35",
        "KID ↓": "0.00123",
        "precision": "0.710",
        "recall": "0.420",
        "training": "62 s",
    }
    assert text["beta"].tolist() == ["–", "–", "0.1"]


def test_a_rate_without_correction_says_so():
    table = comparison_table([record("pu", 0.9, 0.1, corrected=None)])
    assert pd.isna(table["nsr_corrected"]).tolist() == [True]
    assert formatted(table)["corrected"].tolist() == ["n/a"]


def test_markdown_is_a_table_with_the_extractor_named_below():
    markdown = comparison_markdown(comparison_table(records()))
    header, rule, *rows, blank, note = markdown.rstrip("\n").split("\n")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in (header, rule, *rows)
    ]
    assert len(rows) == 3
    assert {len(line) for line in cells} == {11}
    assert cells[0][:3] == ["method", "beta", "non-sensitive rate"]
    assert set(cells[1]) == {"---"}
    assert cells[4][:4] == ["pu", "0.1", "0.970", "0.960 – 0.980"]
    assert blank == ""
    assert note == "Distances on features of: judge (84)."


def test_a_table_read_back_from_csv_is_formatted_alike(tmp_path):
    table = comparison_table(records())
    table.to_csv(tmp_path / "comparison.csv", index=False)
    pd.testing.assert_frame_equal(
        formatted(pd.read_csv(tmp_path / "comparison.csv")), formatted(table)
    )


def test_terminal_shows_every_value_on_the_line_of_its_method(capsys):
    table = comparison_table(records())
    show_comparison(table, "digits_even")
    lines = capsys.readouterr().out.split("\n")
    assert any("digits_even" in line for line in lines)
    for _, row in formatted(table).drop(columns=["training"]).iterrows():
        assert any(all(value in line for value in row) for line in lines)


@pytest.mark.parametrize(("width", "num_left_out"), [(160, 0), (100, 3), (80, 4)])
def test_a_narrow_terminal_shows_fewer_columns_and_cuts_no_value(width, num_left_out, monkeypatch):
    console = Console(force_terminal=True, width=width, record=True, file=io.StringIO())
    monkeypatch.setattr("rich.get_console", lambda: console)
    show_comparison(comparison_table(records()), "digits_even")
    shown = console.export_text()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    (head,) = (line for line in shown.splitlines() if "method" in line)
    assert sum(name not in head for name in DISPENSABLE) == num_left_out
    assert all(name in head or name in shown.splitlines()[-1] for name in DISPENSABLE)
    assert {"0.970", "12.35"} <= set(shown.split())


def test_the_line_of_a_result_has_the_main_metrics_and_says_what_is_estimated():
    line = result_line(record("pu", 0.97))
    assert line == "pu: NSR 0.970 (0.960 – 0.980), FD 12.35"
    estimated = record("pu", 0.97, how="estimated, no labels")
    assert "(0.960 – 0.980) (estimated, no labels), FD" in result_line(estimated)
    assert result_line(record("pu", 0.97, extractor="inception")).endswith("FID 12.35")


@pytest.mark.parametrize("width", [70, 80])
def test_the_summary_fits_a_narrow_terminal(width, monkeypatch):
    console = Console(force_terminal=True, width=width, record=True, file=io.StringIO())
    monkeypatch.setattr("rich.get_console", lambda: console)
    columns = {"method": ["unsupervised", "pu"], "beta": [None, 0.1], "gamma": None, "n": 3}
    for metric in ("nsr", "distance"):
        columns |= {f"{metric}_mean": [0.9, 0.95], f"{metric}_sd": 0.01, f"{metric}_p": None}
        columns |= {f"{metric}_note": "0 common seeds, a paired test needs 2"}
        columns |= {f"{metric}_bold": False}
    show_summary(pd.DataFrame({**columns, "extractor": "judge", "gap_closed": None}), "mnist_even")
    shown = console.export_text()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    assert "0.950 ± 0.010" in shown
