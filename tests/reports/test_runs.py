"""Runs of a benchmark: which stand in one table, their means, tests and the paper's numbers."""

import time

import pandas as pd
import pytest
from scipy import stats

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import missing_commands, missing_lines
from pu_diffusion_pipeline.reports.options import ReportingOptions
from pu_diffusion_pipeline.reports.paper_tables import BenchmarkSummary, paper_table
from pu_diffusion_pipeline.reports.runs import missing_runs, over_beta, select_runs
from pu_diffusion_pipeline.reports.runs import summarize as summarize_with
from pu_diffusion_pipeline.reports.summary import paper_results, summary_markdown, summary_table
from pu_diffusion_pipeline.sweeps.arguments import Request

PAIRED = ReportingOptions(significance="paired", level=0.05)
WELCH = ReportingOptions(significance="welch", level=0.05)
RATES = {
    "unsupervised": [0.86, 0.85, 0.87, 0.86, 0.85],
    "supervised": [0.855, 0.86, 0.865, 0.86, 0.85],
    "pu": [0.93, 0.92, 0.94, 0.93, 0.935],
}


def summarize(runs: pd.DataFrame, options: ReportingOptions = PAIRED) -> pd.DataFrame:
    return summarize_with(runs, options)


def described(summary: pd.DataFrame, paper_row: str | None) -> pd.DataFrame:
    return summary_table(summary, paper_row).with_asterisks()


def record(
    method: str, seed: int, rate: float, beta: float = 0.1, distance: float = 80.0, **settings
) -> dict:
    uses_beta = METHODS[method].uses_beta
    made = {
        "benchmark": "b",
        "training.num_steps": 900,
        "sampling.num_steps": 15,
        **settings,
        "seed": seed,
    }
    if uses_beta:
        made["beta"] = beta
    return {
        "method": method,
        "settings": made,
        "non_sensitive_rate": {
            "value": rate,
            "low": rate - 0.01,
            "high": rate + 0.01,
            "corrected": rate,
            "judge": {"weights_digest": "j", "accuracy": 0.99},
        },
        "fidelity": {
            "frechet_distance": distance + seed,
            "kernel_distance": 1.0 + seed,
            "precision": 0.5 + 0.01 * seed,
            "recall": 0.9 - 0.01 * seed,
            "extractor": "judge",
            "weights_digest": "w",
            "num_samples": 2000,
            "num_reference": 500,
            "kid_subsets": 100,
            "kid_subset_size": 250,
            "neighborhood": 3,
        },
        "training": {
            "beta": {"value": beta} if uses_beta else None,
            "num_steps": 900,
            "seconds": 100.0,
        },
    }


def records(**changes) -> dict[str, dict]:
    return {
        f"{method}/seed_{seed}": record(method, seed, rate, **changes)
        for method, rates in RATES.items()
        for seed, rate in enumerate(rates)
    }


def asked() -> dict[str, dict]:
    return {method: record(method, 7, 0.5, beta=0.5)["settings"] for method in METHODS}


def chosen(**more: dict) -> pd.DataFrame:
    return select_runs({**records(), **more}, asked()).runs


def test_a_copied_folder_is_no_second_seed():
    there = {"pu/a": record("pu", 0, 0.9), "pu/a-before": record("pu", 0, 0.9)}
    with pytest.raises(InvalidInput, match="pu/a and pu/a-before are the same run"):
        select_runs(there, asked())


def test_runs_of_any_seed_method_and_beta_stand_in_one_table():
    runs = chosen(**{"pu/beta_0.2": record("pu", 0, 0.95, beta=0.2)})
    assert len(runs) == 16
    assert list(runs["method"].unique()) == ["unsupervised", "supervised", "pu"]
    assert set(runs[runs["method"] == "pu"]["beta"]) == {0.1, 0.2}


def test_a_run_with_other_parameters_is_left_out_naming_them():
    selection = select_runs(
        {**records(), "pu/long": record("pu", 0, 0.9, **{"training.num_steps": 1800})}, asked()
    )
    assert len(selection.runs) == 15
    assert selection.left_out == {"pu/long": ["training.num_steps: 1800 (asked: 900)"]}


def test_options_of_the_class_prior_part_the_runs_of_methods_that_use_the_classifier():
    """To the others they matter only where beta is estimated."""
    option = {"class_prior.delta": 0.2}
    made = {name: record(name, 0, 0.9, **option) for name in ("pu", "pu_clean", "pu_filtered")}
    kept = select_runs(made, asked()).runs
    assert list(kept["method"]) == ["pu"]


@pytest.mark.parametrize(
    ("part", "field"),
    [("fidelity", "weights_digest"), ("fidelity", "num_reference"), ("judge", "weights_digest")],
)
def test_runs_that_were_evaluated_differently_are_refused_together(part, field):
    odd = record("pu", 9, 0.9)
    (odd["non_sensitive_rate"]["judge"] if part == "judge" else odd["fidelity"])[field] = "other"
    with pytest.raises(InvalidInput, match=r"cannot stand in one table.*\n.*pu/odd 'other'"):
        chosen(**{"pu/odd": odd})


def test_means_deviations_and_tests_are_those_of_the_runs():
    summary = summarize(chosen()).set_index("method")
    for method, rates in RATES.items():
        assert summary.loc[method, "n"] == 5
        assert summary.loc[method, "nsr_mean"] == pytest.approx(sum(rates) / 5)
        assert summary.loc[method, "nsr_sd"] == pytest.approx(pd.Series(rates).std(ddof=1))
    expected = stats.ttest_rel(RATES["pu"], RATES["unsupervised"]).pvalue
    assert summary.loc["unsupervised", "nsr_p"] == pytest.approx(expected)
    assert summary["nsr_bold"].to_dict() == {"unsupervised": False, "supervised": False, "pu": True}
    assert summary.loc["pu", "nsr_note"] == "best"
    welch = summarize(chosen(), options=WELCH).set_index("method")
    expected = stats.ttest_ind(RATES["pu"], RATES["unsupervised"], equal_var=False).pvalue
    assert welch.loc["unsupervised", "nsr_p"] == pytest.approx(expected)


def test_equal_distances_are_all_bold():
    assert summarize(chosen())["distance_bold"].tolist() == [True, True, True]


def test_the_oracle_is_compared_with_nothing_and_gives_the_share_of_the_gap():
    more = {f"oracle/{seed}": record("oracle", seed, 0.94) for seed in range(5)}
    summary = summarize(chosen(**more)).set_index("method")
    assert summary.loc["oracle", "nsr_note"] == "reference"
    assert not summary.loc["oracle", "nsr_bold"]
    assert summary.loc["pu", "nsr_bold"]
    gap = summary["nsr_mean"]["pu"] - summary["nsr_mean"]["unsupervised"]
    assert summary.loc["pu", "gap_closed"] == pytest.approx(
        gap / (0.94 - summary["nsr_mean"]["unsupervised"])
    )
    assert summary.loc["unsupervised", "gap_closed"] == 0
    assert summarize(chosen())["gap_closed"].isna().all()


def test_one_seed_gives_no_deviation_and_says_why_there_is_no_test():
    runs = chosen()
    summary = summarize(runs[runs["seed"] == 0])
    assert summary["nsr_sd"].isna().all()
    text = described(summary, None)
    assert text.iloc[0]["p NSR"] == "n/a (1 common seeds, a paired test needs 2)"
    assert text.iloc[0]["non-sensitive rate"] == "0.860"
    assert "**" not in "".join(text["non-sensitive rate"])


def test_missing_runs_are_those_without_which_the_table_has_a_hole():
    there = {
        name: value
        for name, value in records().items()
        if name not in ("supervised/seed_1", "pu/seed_4")
    }
    runs = select_runs(there, asked()).runs
    assert missing_runs(runs, RATES, range(5), 0.1) == [("supervised", 1), ("pu", 4)]
    assert missing_runs(runs, ["pu"], [0], 0.2) == [("pu", 0)]


def test_commands_make_the_missing_runs():
    there = {name: value for name, value in records(beta=0.5).items() if name != "pu/seed_4"}
    commands = missing_commands(select_runs(there, asked()).runs, asked())
    assert commands == {
        ("pu", 4): "kedro run --env=b --pipelines=train_pu,sample_pu,evaluate_pu "
        "--params=seed:4,beta:0.5"
    }
    fine_tuned = {method: {**made, "pretrained": "model"} for method, made in asked().items()}
    commands = missing_commands(select_runs(there, asked()).runs, fine_tuned)
    assert commands["pretrained", 0] == (
        "kedro run --env=b --pipelines=sample_pretrained,evaluate_pretrained --params=seed:0"
    )


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_two_lines_name_the_missing_runs_however_many_there_are(count):
    seeds = [0, 2, 3, *range(5, 100)]
    missing = {("pu", seed): f"kedro run --params=seed:{seed}" for seed in seeds[:count]}
    lines = missing_lines(missing, asked())
    assert len(lines) == (2 if count else 0)
    assert all(len(line) < 100 for line in lines)
    if count == 1:
        assert lines[1] == "Made by: kedro run --params=seed:0 (and the other --params)"
    if count == 30:
        assert lines[0] == "Missing for a full table: pu with seed 0,2-3,5-31"
        assert lines[1] == (
            "Made by: kedro sweep --env=b --methods=pu --seeds=0,2-3,5-31 --betas=0.5 "
            "(and the other --params)"
        )


def test_the_sweep_that_is_named_makes_the_missing_runs():
    missing = {("unsupervised", 3): "", ("pu", 0): "", ("pu", 1): ""}
    arguments = (
        missing_lines(missing, asked())[1].removesuffix(" (and the other --params)").split()[4:]
    )
    given = dict(one.removeprefix("--").split("=") for one in arguments)
    request = Request(benchmarks=given.pop("env"), **given)
    made = {(method, seed) for method in request.methods for seed in request.seeds}
    assert missing.keys() <= made
    assert request.betas == (asked()["pu"]["beta"],)


def test_no_run_with_the_parameters_asked_for_is_refused_by_name():
    with pytest.raises(InvalidInput, match="No finished run of b was made with these parameters"):
        select_runs({"pu/long": record("pu", 0, 0.9, **{"training.num_steps": 1})}, asked())


def test_runs_with_an_estimated_beta_are_no_points_over_beta():
    runs = chosen(**{"pu/beta_0.2": record("pu", 0, 0.95, beta=0.2)})
    estimated = runs[runs["run"] == "pu/beta_0.2"].assign(beta="estimated", beta_value=0.12)
    assert over_beta(pd.concat([runs, estimated])).equals(over_beta(runs))


def test_points_over_beta_are_means_with_a_deviation_or_the_wilson_interval():
    runs = chosen(**{"pu/beta_0.2": record("pu", 0, 0.95, beta=0.2)})
    points = over_beta(runs)
    assert points["beta"].tolist() == [0.1, 0.2]
    assert points["n"].tolist() == [5, 1]
    assert points["nsr"].tolist() == pytest.approx([sum(RATES["pu"]) / 5, 0.95])
    assert points["nsr_low"].iloc[1] == pytest.approx(0.94)
    assert points["nsr_high"].iloc[0] == pytest.approx(
        points["nsr"].iloc[0] + pd.Series(RATES["pu"]).std()
    )
    with pytest.raises(InvalidInput, match="at least two values of beta, there are 1"):
        over_beta(chosen())


def test_the_tables_of_the_paper_are_complete_and_hold_its_numbers():
    table = paper_results()
    assert table.groupby("table").size().to_dict() == {2: 18, 3: 18, 4: 16, 5: 16}
    cells = table.set_index(["table", "row", "method"])[["metric", "mean", "sd"]]
    assert cells.loc[(2, "mnist_even", "pu")].tolist() == ["nsr", 0.978, 0.003]
    assert cells.loc[(3, "stl10_animals", "unsupervised")].tolist() == ["fid", 135.999, 2.203]
    assert cells.loc[(4, "celeba_male_finetune", "pretrained")].tolist() == ["nsr", 0.249, 0.003]
    assert cells.loc[(5, "celeba_female_finetune", "pu")].tolist() == ["fid", 39.131, 1.961]


def test_the_number_of_the_paper_stands_beside_ours():
    text = described(summarize(chosen()), "mnist_even").set_index("method")
    assert text.loc["pu, beta 0.1", "paper NSR"] == "0.978 ± 0.003"
    assert text.loc["pu, beta 0.1", "non-sensitive rate"] == "**0.931 ± 0.007**"
    assert text.loc["unsupervised", "paper FID"] == "3.53 ± 0.137"
    assert "paper NSR" not in described(summarize(chosen()), None)


def test_markdown_names_the_test_what_is_missing_and_what_was_left_out():
    text = summary_markdown(
        summarize(chosen()),
        None,
        WELCH,
        missing=["kedro run --params=seed:9"],
        left_out={"pu/long": ["training.num_steps: 1800 (asked: 900)"]},
    )
    for part in (
        "Welch's t-test",
        "at 5 %",
        "`kedro run --params=seed:9`",
        "pu/long: training.num_steps: 1800",
    ):
        assert part in text


@pytest.mark.parametrize("number", [2, 3])
def test_a_table_over_benchmarks_shows_ours_and_the_papers(number):
    summary = summarize(chosen())
    shown = [BenchmarkSummary("mnist_odd_small", summary, "mnist_odd", 0.1)]
    table = paper_table(shown, number, PAIRED)
    assert f"Table {number}" in table.to_markdown()
    assert "Paired t-test" in table.caption
    table = table.with_asterisks()
    assert table["judge's accuracy"].tolist() == ["0.9900"]
    assert table["judge, paper"].tolist() == ["0.9846"]
    assert table["n"].tolist() == ["5 / 5 / 5"]
    assert table["pu, paper"].tolist() == [{2: "0.975 ± 0.004", 3: "5.72 ± 0.652"}[number]]
    assert ("**" in table["pu"].iloc[0]) is True


def test_a_table_shows_no_published_number_of_another_table():
    shown = [BenchmarkSummary("mnist_odd_small", summarize(chosen()), "mnist_odd", 0.1)]
    assert paper_table(shown, 4, PAIRED).rows["pu, paper"].tolist() == ["–"]


def test_a_table_shows_the_beta_that_was_asked_for():
    summary = summarize(chosen(**{"pu/beta_0.2": record("pu", 0, 0.99, beta=0.2)}))
    for beta, expected in ((0.1, "0.931"), (0.2, "0.990"), (0.3, "n/a")):
        table = paper_table([BenchmarkSummary("b", summary, None, beta)], 2, PAIRED)
        assert table.rows["pu"].iloc[0].startswith(expected)


def test_two_hundred_runs_take_no_time():
    many = {
        f"{method}/{seed}": record(method, seed, 0.9 + 0.0001 * seed)
        for method in RATES
        for seed in range(70)
    }
    begun = time.perf_counter()
    described(summarize(select_runs(many, asked()).runs), "mnist_even")
    assert time.perf_counter() - begun < 5
