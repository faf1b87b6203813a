"""`kedro reproduce`: what it was asked for, which runs it needs, and that finished ones are not run again."""

import json
import shutil

import pandas as pd
import pytest

from conftest import REPO
from pu_diffusion_pipeline.cli import parse_params
from pu_diffusion_pipeline.commands import flat, kedro_run
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.reproduction import command
from pu_diffusion_pipeline.reproduction.arguments import TARGETS, benchmarks_of, parse_betas, parse_seeds
from pu_diffusion_pipeline.reproduction.runs import plan
from pu_diffusion_pipeline.reproduction.timing import estimate_seconds

CONF = REPO / "conf"


@pytest.mark.parametrize(("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("0,2,5-7", [0, 2, 5, 6, 7])])
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
    from_scratch = "mnist_even mnist_odd cifar10_vehicles cifar10_animals stl10_vehicles stl10_animals"
    assert benchmarks_of("table2", [], False, CONF) == from_scratch.split()
    finetuned = ["cifar10_vehicles", "cifar10_animals", "celeba_male", "celeba_female"]
    assert benchmarks_of("table5", [], False, CONF) == [f"{row}_finetune" for row in finetuned]
    assert benchmarks_of("table2", ["mnist_odd"], True, CONF) == ["mnist_odd_small"]
    assert benchmarks_of("figure4", ["digits_even"], False, CONF) == ["digits_even"]


@pytest.mark.parametrize(("row", "small"), [("mnist", False), ("stl10_animals", True), ("base", False)])
def test_an_unknown_row_is_refused_naming_the_known_ones(row, small):
    with pytest.raises(InvalidInput, match=r"--rows: no benchmark .*mnist_even"):
        benchmarks_of("table2", [row], small, CONF)


def project(tmp_path):
    """A folder with the configuration, in which nothing has run."""
    shutil.copytree(CONF, tmp_path / "conf")
    return tmp_path


def test_a_table_needs_every_method_of_every_seed(tmp_path):
    runs = plan("table2", ["test"], [0, 3], [], {}, project(tmp_path))
    assert [(run.method, run.parameters["seed"]) for run in runs] == [
        (method, seed) for seed in (0, 3) for method in ("unsupervised", "supervised", "pu")
    ]
    assert len({run.metrics for run in runs}) == 6
    assert not any(run.finished for run in runs)


def test_a_table_of_fine_tuned_models_has_the_pretrained_one_too(tmp_path):
    runs = plan("table4", ["finetune"], [0], [], {}, project(tmp_path))
    assert [run.method for run in runs] == ["pretrained", "unsupervised", "supervised", "pu"]
    assert runs[0].command() == ["run", "--env=finetune", "--pipelines=sample_pretrained,evaluate_pretrained",
                                 "--params=seed:0"]  # fmt: skip


def test_figure_4_needs_every_beta(tmp_path):
    runs = plan("figure4", ["test"], [0], [0.0, 0.1], {"training": {"num_steps": 3}}, project(tmp_path))
    assert [(run.method, run.parameters.get("beta")) for run in runs] == [
        ("unsupervised", None), ("pu", 0.0), ("pu", 0.1)
    ]  # fmt: skip
    assert runs[1].command()[-1] == "--params=training.num_steps:3,seed:0,beta:0.0"


def test_the_default_benchmark_needs_no_env():
    assert kedro_run("digits_even", ["report"], {}) == ["run", "--pipelines=report"]


def test_a_command_is_read_back_as_the_parameters_it_was_made_of():
    given = {"seed": 3, "pretrained": None, "data": {"root": "/d", "download": False, "normal_classes": [1, 3]}}
    given["beta"] = 1e-5
    *_, option = kedro_run("test", ["train_pu"], given)
    assert flat(parse_params(option.removeprefix("--params="))) == flat(given)


def test_time_is_estimated_from_steps_and_samples(tmp_path):
    folder = project(tmp_path)
    few, many = (
        estimate_seconds(plan("table2", ["test"], [0], [], {"training": {"num_steps": steps}}, folder), folder)
        for steps in (10, 10_000)
    )
    assert 0 < few < many
    assert many > 50 * few


class Kedro:
    """Stands for `kedro run`: notes the commands, leaves the metrics of a run, fails when told to."""

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
            for name in ("data/06_models/test/judge/default", "data/07_model_output/test/judge/default"):
                (folder / name).mkdir(parents=True)
            (folder / "data/07_model_output/test/judge/default/judge_report.json").write_text("{}")


def reproduce(folder, kedro, monkeypatch, target: str = "figure1", **changes) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(command, "execute", kedro)
    usual = {"small": False, "parameters": {}, "confirm": said.append, "say": said.append}
    command.reproduce_target(target, ["test"], "0-1", "", project=folder, **{**usual, **changes})
    return said


def test_an_interrupted_reproduction_goes_on_where_it_stopped(tmp_path, monkeypatch):
    folder = project(tmp_path)
    runs = plan("figure1", ["test"], [0, 1], [], {}, folder)
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


@pytest.mark.slow
def test_a_table_is_reproduced_for_real(tmp_path):
    """In processes of its own: two seeds of the test benchmark, then the table, then nothing more to do."""
    import subprocess
    import sys

    for name in ("conf", "src", "pyproject.toml", ".telemetry"):
        source = REPO / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    arguments = [sys.executable, "-m", "kedro", "reproduce", "table2", "--rows=test", "--seeds=0-1", "--yes"]
    first = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    table = pd.read_csv(tmp_path / "data/08_reporting/paper/table2.csv")
    assert table["n"].tolist() == ["2 / 2 / 2"]
    metrics = sorted((tmp_path / "data/07_model_output/test").glob("*/*/metrics.json"))
    assert len(metrics) == 6
    assert json.loads(metrics[0].read_text())["method"] == "pu"
    again = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert "6 of 6 runs are finished" in again.stdout
