"""`kedro results`: which runs a table has, what it shows of them, and what it writes."""

import json
import logging
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from conftest import REPO
from pu_diffusion_pipeline.cli import cli
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.results.choosing import Wanted, chosen
from pu_diffusion_pipeline.results.reading import Found, kept_runs, own_runs
from pu_diffusion_pipeline.results.table import readable, side_by_side, varying

KEPT = REPO / "docs/results"
PU = json.loads((KEPT / "digits_even/pu_seed_0.json").read_text())


def write_run(
    outputs: Path, run: str, benchmark: str = "digits_even", rate: float = 0.9, **settings
) -> Path:
    """A record as a run writes it; a setting of None is left out, as an older run would."""
    made = {**PU["settings"], "benchmark": benchmark, **settings}
    made = {name: value for name, value in made.items() if value is not None}
    folder = outputs / benchmark / run
    folder.mkdir(parents=True)
    record = {**PU, "method": run.split("/", maxsplit=1)[0], "settings": made}
    record["non_sensitive_rate"] = {**PU["non_sensitive_rate"], "value": rate}
    (folder / "metrics.json").write_text(json.dumps(record))
    return folder / "metrics.json"


@pytest.fixture
def found(tmp_path) -> Found:
    write_run(tmp_path, "pu/seed_0", rate=0.95)
    write_run(tmp_path, "pu/seed_1", rate=0.94, seed=1)
    write_run(tmp_path, "pu/estimated", rate=0.93, beta="estimated")
    long = {"training.num_steps": 900, "data.normal_classes": [0, 2]}
    write_run(tmp_path, "supervised/long", rate=0.87, **long)
    write_run(tmp_path, "pu/seed_0", benchmark="other", rate=0.5, **{"data.image_size": 64})
    return own_runs(tmp_path)


def names(found: Found, **wanted) -> list[str]:
    return list(chosen(found.runs, Wanted(**wanted))["run"])


def test_each_run_is_one_row_in_the_order_of_benchmarks_methods_and_seeds(found):
    assert names(found) == [
        "digits_even/supervised/long",
        "digits_even/pu/seed_0",
        "digits_even/pu/seed_1",
        "digits_even/pu/estimated",
        "other/pu/seed_0",
    ]
    assert found.unread == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"env": "other"}, ["other/pu/seed_0"]),
        ({"methods": ["supervised"]}, ["digits_even/supervised/long"]),
        ({"seeds": [1, 7]}, ["digits_even/pu/seed_1"]),
        ({"where": ["nsr<0.6"]}, ["other/pu/seed_0"]),
        ({"where": ["NSR>=0.94", "seed=1"]}, ["digits_even/pu/seed_1"]),
        ({"where": ["beta=estimated"]}, ["digits_even/pu/estimated"]),
        ({"where": ["beta=0.10,seed!=0"]}, ["digits_even/pu/seed_1"]),
        ({"where": ["training.num_steps>250"]}, ["digits_even/supervised/long"]),
        ({"where": ["data.normal_classes=[0,2]"]}, ["digits_even/supervised/long"]),
        ({"where": ["denoiser.middle_attention=true"]}, []),
        ({"where": ["second_nsr!=null"]}, []),
        ({"methods": ["pu"], "sort": "nsr", "where": ["nsr>0.9"]},
         ["digits_even/pu/estimated", "digits_even/pu/seed_1", "digits_even/pu/seed_0"]),
        ({"seeds": [0], "env": "digits_even", "sort": "-nsr", "where": ["beta=0.1"]},
         ["digits_even/pu/seed_0", "digits_even/supervised/long"]),
    ],
)  # fmt: skip
def test_runs_are_chosen_and_sorted_by_any_parameter_or_metric(found, wanted, expected):
    assert names(found, **wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"env": "digits_evn"}, "--env: no 'digits_evn' among the runs; did you mean digits_even?"),
        (
            {"methods": ["superviced"]},
            "--methods: no 'superviced' among the runs; did you mean supervised?",
        ),
        ({"where": ["training.num_step=3"]}, "did you mean training.num_steps?"),
        ({"where": ["nsr"]}, "--where: expected such as seed=0 or fd<50, got 'nsr'"),
        ({"where": ["nsr<high"]}, "--where: nsr< expects a number, got 'high'"),
        ({"where": ["data.normal_classes=[0"]}, "--where: unbalanced brackets"),
        ({"sort": "-nrs"}, "--sort: no 'nrs' among the runs; did you mean nsr?"),
    ],
)
def test_what_cannot_be_understood_is_named(found, wanted, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        chosen(found.runs, Wanted(**wanted))


def test_the_parameters_that_differ_within_a_benchmark_are_columns(found):
    assert varying(found.runs, found.parameters) == ["data.normal_classes", "training.num_steps"]
    shown = readable(found, found.runs)
    assert {"NSR", "FD", "precision", "recall", "seed", "beta", "commit"} <= set(shown)
    assert "data.image_size" not in shown


def test_a_parameter_that_an_older_run_of_the_same_method_lacks_differs(tmp_path):
    name = "training.muon_learning_rate"
    write_run(tmp_path, "pu/new")
    write_run(tmp_path, "supervised/new", **{"objective.correction": None})
    assert varying(own_runs(tmp_path).runs, own_runs(tmp_path).parameters) == []
    write_run(tmp_path, "pu/old", **{name: None})
    assert varying(own_runs(tmp_path).runs, own_runs(tmp_path).parameters) == [name]


def test_two_runs_show_what_differs_and_each_metric_with_its_difference(found):
    by_name = found.runs.set_index("run", drop=False)
    one, other = by_name.loc["digits_even/pu/seed_0"], by_name.loc["digits_even/pu/seed_1"]
    parameters, metrics = side_by_side(found, one, other)
    assert parameters.to_numpy().tolist() == [["seed", "0", "1"]]
    assert ["nsr", "0.95", "0.94", "-0.01"] in metrics.to_numpy().tolist()
    assert set(metrics["metric"]) >= {"distance", "precision", "recall", "train_seconds"}


def test_the_records_of_a_run_of_this_project_are_read_with_their_checks(finished_run):
    (row,) = own_runs(finished_run / "data/07_model_output").runs.query("method == 'pu'").iloc
    assert row["run"] == "test/pu/beta_0.1-seed_0"
    assert row["training.num_steps"] == 6
    assert pd.Timestamp.now("UTC") - row["date"] < pd.Timedelta(hours=1)
    assert pd.isna(row["second_nsr"])


def test_a_second_opinion_beside_the_record_is_in_its_row(tmp_path):
    path = write_run(tmp_path, "pu/seed_0")
    opinion = {"non_sensitive_rate": 0.8, "both": 0.7, "near_labeled_sensitive": 0.5}
    opinion["classes"] = {"0": 12}
    path.with_name("second_opinion.json").write_text(json.dumps(opinion))
    assert own_runs(tmp_path).runs.loc[0, ["second_nsr", "both", "class_0"]].to_list() == [
        0.8, 0.7, 12,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"method": "pu"}', "\x00", "[" * 100_000])
def test_a_broken_record_is_passed_over_with_its_name(tmp_path, text):
    write_run(tmp_path, "pu/seed_0")
    broken = write_run(tmp_path, "pu/seed_1")
    broken.write_text(text)
    found = own_runs(tmp_path)
    assert list(found.runs["run"]) == ["digits_even/pu/seed_0"]
    assert len(found.unread) == 1
    assert str(broken) in found.unread[0]


def test_a_record_that_is_not_what_was_saved_is_passed_over(finished_run, tmp_path):
    outputs = tmp_path / "outputs"
    shutil.copytree(finished_run / "data/07_model_output", outputs)
    path = outputs / "test/pu/beta_0.1-seed_0/metrics.json"
    path.write_text(path.read_text() + " ")
    found = own_runs(outputs)
    assert "pu" not in set(found.runs["method"])
    assert "is not what was saved there" in found.unread[0]


def test_committed_records_and_tables_are_read_and_no_run_twice():
    found = kept_runs(KEPT)
    runs = found.runs.set_index("run")
    assert found.unread == []
    assert runs.loc["digits_even/pu_seed_0", "nsr"] == 0.9445
    assert runs.loc["frontier/runs/pu/beta_0.1-seed_1", "method"] == "pu"
    assert not runs.index.str.startswith("digits_adamw/runs/pu/beta_0.1-seed_0").any()
    assert runs["date"].isna().all()


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_written_table_has_a_row_for_each_run_and_all_columns(tmp_path, ending):
    path = tmp_path / f"runs{ending}"
    done = CliRunner().invoke(cli, ["results", "--from", str(KEPT), "--to", str(path)])
    assert done.exit_code == 0, done.output
    read = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    expected = chosen(kept_runs(KEPT).runs, Wanted())
    assert list(read) == list(expected)
    assert list(read["run"]) == list(expected["run"])
    assert read["nsr"].to_list() == expected["nsr"].to_list()


def test_a_written_table_is_read_again_as_the_runs_it_was_written_of(tmp_path):
    first = kept_runs(KEPT)
    first.runs.to_csv(tmp_path / "table.csv", index=False)
    again = kept_runs(tmp_path)
    assert again.unread == []
    assert set(again.parameters) == set(first.parameters)
    assert list(again.runs["run"]) == [f"table/{run}" for run in first.runs["run"]]
    for name in ("benchmark", "commit", "nsr", "second_nsr", "both", "training.num_steps"):
        pd.testing.assert_series_equal(again.runs[name], first.runs[name], check_dtype=False)
    assert first.runs["second_nsr"].notna().any()


def test_the_command_prints_plain_lines_in_a_pipe_and_compares_by_id_and_by_folder():
    command = ["results", "--from", str(KEPT), "--env=digits_even", "--methods=pu", "--seeds=0"]
    done = CliRunner().invoke(cli, [*command, "--where=beta=0.1"])
    head, *lines = done.output.splitlines()
    assert head.split()[:6] == ["id", "benchmark", "method", "seed", "beta", "NSR"]
    ids = [line.split()[0] for line in lines]
    assert len(set(ids)) == len(lines) == 2
    by_id = CliRunner().invoke(cli, ["results", "--from", str(KEPT), "compare", *ids])
    folders = [str(KEPT / line.split()[-1]) for line in lines]
    by_folder = CliRunner().invoke(cli, ["results", "compare", "--from", str(KEPT), *folders])
    assert "training.num_steps" in by_id.output
    assert by_id.output == by_folder.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from=nowhere"], "--from: no folder nowhere"),
        ([f"--from={KEPT}", "--to=runs.xlsx"], "--to: expected a file .csv or .parquet"),
        ([f"--from={KEPT}", "--seeds=x"], "--seeds: expected such as 0-4"),
        ([f"--from={KEPT}", "--where=nsr>2"], "finished runs is as asked"),
        ([f"--from={KEPT}", "compare", "pu_seed_0", "x"], "fits several"),
        ([f"--from={KEPT}", "compare", "zz", "x"], "'zz' is none"),
    ],
)
def test_a_mistake_gets_one_message(arguments, message):
    done = CliRunner().invoke(cli, ["results", *arguments])
    assert done.exit_code == 1
    assert message in done.output


def test_the_unread_files_are_named_in_one_warning(tmp_path, caplog):
    write_run(tmp_path, "pu/seed_0")
    for seed in range(1, 6):
        write_run(tmp_path, f"pu/seed_{seed}").write_text("{")
    with caplog.at_level(logging.WARNING):
        CliRunner().invoke(cli, ["results", "--from", str(tmp_path)])
    (warning,) = [one.getMessage() for one in caplog.records if "Passed over" in one.getMessage()]
    assert warning.startswith("Passed over 5 files:")
    assert warning.endswith("and 2 more")


def test_a_thousand_runs_are_gathered_and_shown_in_few_seconds(tmp_path):
    for seed in range(1000):
        write_run(tmp_path, f"pu/seed_{seed}", seed=seed)
    begun = time.process_time()  # others may use the processor too
    found = own_runs(tmp_path)
    readable(found, chosen(found.runs, Wanted(where=["fd<50"])))
    assert len(found.runs) == 1000
    assert time.process_time() - begun < 5
