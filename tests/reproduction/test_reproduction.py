"""`kedro reproduce`: what it is asked for, which runs it needs; finished runs are not repeated."""

import json
import shutil

import pandas as pd
import pytest

from conftest import REPO
from pu_diffusion_pipeline.cli import parse_params
from pu_diffusion_pipeline.diffusion.methods import FRONTIER, METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import flat, kedro_run
from pu_diffusion_pipeline.reproduction import command, timing
from pu_diffusion_pipeline.reproduction.arguments import (
    TARGETS,
    Request,
    benchmarks_of,
    parse_betas,
    parse_request,
    parse_seeds,
)
from pu_diffusion_pipeline.reproduction.plan import judge_is_there, plan
from pu_diffusion_pipeline.reproduction.timing import estimate_seconds

CONF = REPO / "conf"


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("0,2,5-7", [0, 2, 5, 6, 7])]
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "0-", "-1", "4-0", "1,1", "0..4", "0-2,2"])
def test_seeds_that_cannot_be_read_are_refused(text):
    with pytest.raises(InvalidInput, match="--seeds: expected"):
        parse_seeds(text)


def test_betas():
    assert parse_betas("0,0.05,1e-1") == [0, 0.05, 0.1]
    assert parse_betas("")[0] == 0
    for text in ("1", "0.1,x", "-0.1"):
        with pytest.raises(InvalidInput, match="--betas: expected"):
            parse_betas(text)


def test_rows_are_those_of_the_papers_table():
    from_scratch = (
        "mnist_even mnist_odd cifar10_vehicles cifar10_animals stl10_vehicles stl10_animals"
    )
    assert benchmarks_of("table2", [], False, CONF) == from_scratch.split()
    finetuned = ["cifar10_vehicles", "cifar10_animals", "celeba_male", "celeba_female"]
    assert benchmarks_of("table5", [], False, CONF) == [f"{row}_finetune" for row in finetuned]
    assert benchmarks_of("table2", ["mnist_odd"], True, CONF) == ["mnist_odd_small"]
    assert benchmarks_of("figure4", ["digits_even"], False, CONF) == ["digits_even"]


@pytest.mark.parametrize(
    ("row", "small"), [("mnist", False), ("stl10_animals", True), ("base", False)]
)
def test_an_unknown_row_is_refused_naming_the_known_ones(row, small):
    with pytest.raises(InvalidInput, match=r"--rows: no benchmark .*mnist_even"):
        benchmarks_of("table2", [row], small, CONF)


def project(tmp_path):
    """A folder with the configuration in which nothing has run."""
    shutil.copytree(CONF, tmp_path / "conf")
    return tmp_path


def test_a_table_needs_every_method_of_every_seed(tmp_path):
    runs = plan(Request("table2", ["test"], [0, 3], [], {}), project(tmp_path))
    assert [(run.method, run.parameters["seed"]) for run in runs] == [
        (method, seed) for seed in (0, 3) for method in ("unsupervised", "supervised", "pu")
    ]
    assert len({run.metrics for run in runs}) == 6
    assert not any(run.finished for run in runs)


def test_a_table_of_fine_tuned_models_has_the_pretrained_one_too(tmp_path):
    runs = plan(Request("table4", ["finetune"], [0], [], {}), project(tmp_path))
    assert [run.method for run in runs] == ["pretrained", "unsupervised", "supervised", "pu"]
    assert runs[0].command() == [
        "run",
        "--env=finetune",
        "--pipelines=sample_pretrained,evaluate_pretrained",
        "--params=seed:0",
    ]


def test_figure_4_needs_every_beta(tmp_path):
    request = Request("figure4", ["test"], [0], [0.0, 0.1], {"training": {"num_steps": 3}})
    runs = plan(request, project(tmp_path))
    assert [(run.method, run.parameters.get("beta")) for run in runs] == [
        ("unsupervised", None), ("pu", 0.0), ("pu", 0.1)
    ]  # fmt: skip
    assert runs[1].command()[-1] == "--params=training.num_steps:3,seed:0,beta:0.0"


def test_the_frontier_needs_every_method_after_those_that_it_draws_from(tmp_path):
    runs = plan(Request("frontier", ["test"], [0], [], {}), project(tmp_path))
    order = [run.method for run in runs]
    assert order == list(FRONTIER)
    for method in order:
        assert all(order.index(one) < order.index(method) for one in METHODS[method].draws_from)


def test_the_frontier_refuses_a_conditional_benchmark(tmp_path):
    given = {"small": False, "parameters": {}, "conf": project(tmp_path) / "conf"}
    with pytest.raises(InvalidInput, match="digits_conditional is conditional"):
        parse_request("frontier", "digits_conditional", "0", "", **given)


def test_the_default_benchmark_needs_no_env():
    assert kedro_run("digits_even", ["report"], {}) == ["run", "--pipelines=report"]


def test_a_command_is_read_back_as_the_parameters_it_was_made_of():
    given = {
        "seed": 3,
        "pretrained": None,
        "data": {"root": "/d", "download": False, "normal_classes": [1, 3]},
    }
    given["beta"] = 1e-5
    *_, option = kedro_run("test", ["train_pu"], given)
    assert flat(parse_params(option.removeprefix("--params="))) == flat(given)


def test_time_is_estimated_from_steps_and_samples(tmp_path):
    folder = project(tmp_path)
    requests = (
        Request("table2", ["test"], [0], [], {"training": {"num_steps": steps}})
        for steps in (10, 10_000)
    )
    few, many = (estimate_seconds(plan(request, folder), folder) for request in requests)
    assert 0 < few < many
    assert many > 50 * few


def test_the_estimate_counts_both_networks_and_what_a_filter_drops(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "step_of_a_run", lambda parameters: (1.0, 0.01))
    folder = project(tmp_path)
    runs = plan(Request("frontier", ["test"], [0], [], {}), folder)
    seconds = {run.method: timing.estimate_seconds([run], folder) for run in runs}
    sampling = 0.01 * 24 * 3  # of the test benchmark
    assert seconds["unsupervised"] == pytest.approx(6 + sampling)
    assert seconds["pu_guided"] == pytest.approx(2 * sampling)
    assert seconds["pu_filtered"] == pytest.approx(sampling / 0.9)


def save_judge(folder, *, with_features: bool = True) -> None:
    """What `train_classifier` leaves."""
    output = folder / "data/07_model_output/test/judge/default"
    (folder / "data/06_models/test/judge/default/model").mkdir(parents=True)
    output.mkdir(parents=True)
    (output / "judge_report.json").write_text("{}")
    if with_features:
        (output / "reference_features").mkdir()


def test_the_judge_is_there_with_its_report_and_the_features_to_compare_with(tmp_path):
    folder = project(tmp_path)
    assert not judge_is_there("test", {}, folder)
    save_judge(folder, with_features=False)
    assert not judge_is_there("test", {}, folder)
    (folder / "data/07_model_output/test/judge/default/reference_features").mkdir()
    assert judge_is_there("test", {}, folder)


class Kedro:
    """Stands for `kedro run`: notes the commands, leaves metrics, fails when told to."""

    def __init__(self, runs, fails_at: int | None = None) -> None:
        self.runs, self.fails_at, self.commands = runs, fails_at, []

    def __call__(self, arguments, folder) -> None:
        if len(self.commands) == self.fails_at:
            raise InvalidInput("it failed")
        self.commands.append(" ".join(arguments))
        for run in self.runs:
            if run.command() == list(arguments):
                run.metrics.parent.mkdir(parents=True)
                run.metrics.write_text("{}")
        if "--pipelines=figure1" in arguments:
            picture = folder / "data/08_reporting/test/beta_0.1-seed_0/figure1.png"
            picture.parent.mkdir(parents=True)
            picture.write_bytes(b"picture")
        if "train_classifier" in arguments[-2] + arguments[-1]:
            save_judge(folder)


def reproduce(
    folder, kedro, monkeypatch, target: str = "figure1", parameters=None, confirm=None
) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(command, "execute", kedro)
    options = {"small": False, "parameters": parameters or {}, "conf": folder / "conf"}
    request = parse_request(target, "test", "0-1", "", **options)
    command.reproduce_target(request, folder, confirm=confirm or said.append, say=said.append)
    return said


def test_an_interrupted_reproduction_goes_on_where_it_stopped(tmp_path, monkeypatch):
    folder = project(tmp_path)
    runs = plan(Request("figure1", ["test"], [0, 1], [], {}), folder)
    first = Kedro(runs, fails_at=3)  # the judge and two runs
    with pytest.raises(InvalidInput, match="it failed"):
        reproduce(folder, first, monkeypatch)
    assert sum(run.finished for run in runs) == 2
    second = Kedro(runs)
    said = reproduce(folder, second, monkeypatch)
    assert "figure1: 2 of 4 runs are finished." in said
    paper = folder / "data/08_reporting/paper"
    assert (paper / "figure1_test.png").read_bytes() == b"picture"
    assert "Figure 1" in (paper / "index.html").read_text()
    assert second.commands == [*(" ".join(run.command()) for run in runs[2:]),
                               "run --env=test --pipelines=figure1 --params=seed:0"]  # fmt: skip


def test_nothing_runs_before_the_user_agrees(tmp_path, monkeypatch):
    folder = project(tmp_path)

    def refuse(text: str) -> None:
        raise KeyboardInterrupt

    kedro = Kedro([])
    with pytest.raises(KeyboardInterrupt):
        reproduce(folder, kedro, monkeypatch, confirm=refuse)
    assert kedro.commands == []


def test_an_unknown_target_and_a_seed_among_the_parameters_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="no target 'table9'; there are table2"):
        reproduce(tmp_path, Kedro([]), monkeypatch, target="table9")
    with pytest.raises(InvalidInput, match="seed is set by --seeds"):
        reproduce(tmp_path, Kedro([]), monkeypatch, parameters={"seed": 3})
    assert "table2" in TARGETS


def test_a_table_is_written_for_people_and_for_the_page(tmp_path, monkeypatch):
    folder = project(tmp_path)
    summary = {
        "method": ["unsupervised", "supervised", "pu"],
        "beta": [None, None, 0.1],
        "n": 2,
        "nsr_mean": [0.9, 0.91, 0.97],
        "nsr_sd": 0.01,
        "nsr_bold": [False, False, True],
        "judge_accuracy": 0.99,
    }

    def kedro(arguments, project_folder) -> None:
        if "--pipelines=summarize" in arguments:
            path = project_folder / "data/08_reporting/test/runs/default/summary.csv"
            path.parent.mkdir(parents=True)
            pd.DataFrame(summary).to_csv(path, index=False)

    monkeypatch.setattr(command, "judge_is_there", lambda *_: True)
    said = reproduce(folder, kedro, monkeypatch, target="table2")
    paper = folder / "data/08_reporting/paper"
    assert "| **0.970 ± 0.010** |" in (paper / "table2.md").read_text()
    assert "Table 2: Non-sensitive rate" in said[-2]
    assert pd.read_csv(paper / "table2.csv")["pu"].tolist() == ["**0.970 ± 0.010**"]
    page = (paper / "index.html").read_text()
    assert "<b>0.970 ± 0.010</b>" in page
    assert "Paired t-test over common seeds" in page


@pytest.mark.slow
def test_a_table_is_reproduced_for_real(tmp_path):
    """In its own processes: two seeds of the test benchmark and the table; then nothing is left."""
    import subprocess
    import sys

    for name in ("conf", "src", "pyproject.toml", ".telemetry"):
        source = REPO / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    arguments = [
        sys.executable,
        "-m",
        "kedro",
        "reproduce",
        "table2",
        "--rows=test",
        "--seeds=0-1",
        "--yes",
    ]
    first = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    table = pd.read_csv(tmp_path / "data/08_reporting/paper/table2.csv")
    assert table["n"].tolist() == ["2 / 2 / 2"]
    metrics = sorted((tmp_path / "data/07_model_output/test").glob("*/*/metrics.json"))
    assert len(metrics) == 6
    assert json.loads(metrics[0].read_text())["method"] == "pu"
    again = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert "6 of 6 runs are finished" in again.stdout
