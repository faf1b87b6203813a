"""`kedro reproduce`: what it is asked for, which runs it needs; finished runs are not repeated."""

import json
import shutil

import pandas as pd
import pytest

from conftest import REPO
from pu_diffusion_pipeline.diffusion.methods import FRONTIER
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.pipeline_registry import register_pipelines
from pu_diffusion_pipeline.reproduction import command
from pu_diffusion_pipeline.reproduction.arguments import (
    TARGETS,
    Request,
    benchmarks_of,
    parse_betas,
    parse_request,
)
from pu_diffusion_pipeline.sweeps import command as sweeps
from pu_diffusion_pipeline.sweeps.command import How, Talk
from pu_diffusion_pipeline.sweeps.engines.interface import Ended
from pu_diffusion_pipeline.sweeps.plan import make_plan, missing_steps
from sweeps.fakes import finish

CONF = REPO / "conf"


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


def runs_of(target, folder, benchmark="test", seeds=(0,), betas=(), parameters=None):
    request = Request(target, [benchmark], list(seeds), list(betas), parameters or {})
    return make_plan(request.sweep, folder).runs


def test_a_table_needs_every_method_of_every_seed(tmp_path):
    runs = runs_of("table2", project(tmp_path), seeds=(0, 3))
    assert [(run.method, run.given["seed"]) for run in runs] == [
        (method, seed) for seed in (0, 3) for method in ("unsupervised", "supervised", "pu")
    ]
    assert len({run.metrics for run in runs}) == 6
    assert not any(run.is_finished for run in runs)


def test_a_table_of_fine_tuned_models_has_the_pretrained_one_too(tmp_path):
    runs = runs_of("table4", project(tmp_path), benchmark="finetune")
    assert [run.method for run in runs] == ["pretrained", "unsupervised", "supervised", "pu"]


def test_figure_4_needs_every_beta(tmp_path):
    parameters = {"training": {"num_steps": 3}}
    runs = runs_of("figure4", project(tmp_path), betas=(0.0, 0.1), parameters=parameters)
    assert [(run.method, run.given.get("beta")) for run in runs] == [
        ("unsupervised", None), ("pu", 0.0), ("pu", 0.1)
    ]  # fmt: skip
    assert runs[1].command()[-1] == "--params=training.num_steps:3,seed:0,beta:0.0"


@pytest.mark.parametrize(("target", "benchmark"), [
    ("figure1", "test"), ("figure2", "finetune"), ("figure4", "test"), ("frontier", "test")
])  # fmt: skip
def test_what_a_figure_reads_is_made_before_it_is_drawn(target, benchmark, tmp_path):
    registered = register_pipelines()
    pipeline, _ = command.DRAWN_BY[target]
    first = registered["prior_estimation"].all_outputs() if pipeline in command.SHOW_PRIOR else {}
    runs = runs_of(target, project(tmp_path), benchmark, betas=(0.1,) if "4" in target else ())
    made = {one.path for run in runs for step in missing_steps(run) for one in step.makes}
    made |= {saved.path for name in first if (saved := runs[0].configured.saved(name))}
    read = {name: runs[0].configured.saved(name) for name in registered[pipeline].inputs()}
    assert {name for name, one in read.items() if one and one.path not in made} == set()


def test_the_frontier_needs_every_method(tmp_path):
    runs = runs_of("frontier", project(tmp_path))
    assert [run.method for run in runs] == list(FRONTIER)


def test_the_frontier_refuses_a_conditional_benchmark(tmp_path):
    given = {"small": False, "parameters": {}, "conf": project(tmp_path) / "conf"}
    with pytest.raises(InvalidInput, match="digits_conditional is conditional"):
        parse_request("frontier", "digits_conditional", "0", "", **given)


class Kedro:
    """Stands for the processes: notes the commands, leaves what they make, fails when told to."""

    capacity = 1

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at, self.commands, self._ended = fails_at, [], []

    def prepare(self, tasks, *, dry_run: bool) -> list[str]:
        return []

    def start(self, task) -> None:
        fails = len(self.commands) == self.fails_at
        if fails:
            self.fails_at = None
        else:
            self.commands.append(" ".join(task.arguments))
            for saved in task.makes:
                finish(saved, task.run)
        self._ended.append(Ended(task.name, int(fails)))

    def wait(self, seconds) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self, tasks=None, *, kill: bool) -> None: ...

    def close(self) -> None: ...

    def __call__(self, arguments, folder) -> None:
        """The pipelines that render."""
        self.commands.append(" ".join(arguments))
        if "--pipelines=figure1" in arguments:
            picture = folder / "data/08_reporting/test/beta_0.1-seed_0/figure1.png"
            picture.parent.mkdir(parents=True)
            picture.write_bytes(b"picture")


def reproduce(
    folder, kedro, monkeypatch, target: str = "figure1", parameters=None, confirm=None
) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(command, "execute", kedro)
    monkeypatch.setattr(sweeps, "ENGINES", {"local": lambda setup: kedro})
    monkeypatch.setattr(sweeps, "estimate_seconds", lambda tasks: {})
    options = {"small": False, "parameters": parameters or {}, "conf": folder / "conf"}
    request = parse_request(target, "test", "0-1", "", **options)
    command.reproduce_target(request, folder, How(), Talk(said.append, confirm or said.append))
    return said


def test_an_interrupted_reproduction_goes_on_where_it_stopped(tmp_path, monkeypatch):
    folder = project(tmp_path)
    with pytest.raises(ProcessFailed, match="1 of 9 tasks failed"):
        reproduce(folder, Kedro(fails_at=5), monkeypatch)
    finished = sum(run.is_finished for run in runs_of("figure1", folder, seeds=(0, 1)))
    assert 0 < finished < 4
    second = Kedro()
    said = reproduce(folder, second, monkeypatch)
    assert f"figure1: {finished} of 4 runs are finished." in said
    paper = folder / "data/08_reporting/paper"
    assert (paper / "figure1_test.png").read_bytes() == b"picture"
    assert "Figure 1" in (paper / "index.html").read_text()
    assert second.commands[-1] == "run --env=test --pipelines=figure1 --params=seed:0"
    evaluated = [one for one in second.commands if "evaluate_" in one]
    assert len(evaluated) == 4 - finished


def test_nothing_runs_before_the_user_agrees(tmp_path, monkeypatch):
    folder = project(tmp_path)

    def refuse(text: str) -> None:
        raise KeyboardInterrupt

    kedro = Kedro()
    with pytest.raises(KeyboardInterrupt):
        reproduce(folder, kedro, monkeypatch, confirm=refuse)
    assert kedro.commands == []


def test_an_unknown_target_and_a_seed_among_the_parameters_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="no target 'table9'; there are table2"):
        reproduce(tmp_path, Kedro(), monkeypatch, target="table9")
    with pytest.raises(InvalidInput, match="seed is set by --seeds"):
        reproduce(tmp_path, Kedro(), monkeypatch, parameters={"seed": 3})
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

    engine = Kedro()

    def kedro(arguments, project_folder) -> None:
        if "--pipelines=summarize" in arguments:
            path = project_folder / "data/08_reporting/test/runs/default/summary.csv"
            path.parent.mkdir(parents=True)
            pd.DataFrame(summary).to_csv(path, index=False)

    for name in ("capacity", "prepare", "start", "wait", "close"):
        setattr(kedro, name, getattr(engine, name))
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
