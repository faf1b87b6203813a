"""What users type, and what they read when it is wrong."""

import logging
import re
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from kedro.framework.cli.cli import KedroCLI

from conftest import REPO
from pu_diffusion_pipeline import cli
from pu_diffusion_pipeline.cli import parse_params


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beta:0.15", {"beta": 0.15}),
        ("beta=0.15", {"beta": 0.15}),
        ("beta:1e-1,seed=3", {"beta": 0.1, "seed": 3}),
        (
            "training.num_steps:9, training.ema_decay:null",
            {"training": {"num_steps": 9, "ema_decay": None}},
        ),
        ("data.normal_classes:[1,3],seed:1", {"data": {"normal_classes": [1, 3]}, "seed": 1}),
        ("data.root=C:/x", {"data": {"root": "C:/x"}}),
        ("data.root:http://x:80/?q=1", {"data": {"root": "http://x:80/?q=1"}}),
        ('data.root:"a,b"', {"data": {"root": "a,b"}}),
    ],
)
def test_params_are_read(text, expected):
    assert parse_params(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta", "'beta' has no ':' or '='; write key:value"),
        (":3", "empty key"),
        ("training..x:3", "empty key"),
        ("beta:", "beta:null"),
        ("m:[1,2", "unbalanced"),
        ("m:[1}", "unbalanced"),
        ("m[0]:1", "is no parameter"),
        ("a:1,a:2", "a is given twice"),
        ("a.b:1,a:2", "a is given twice"),
        ("a:???", "has no value"),
    ],
)
def test_params_that_cannot_be_read_are_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_params(text)


def kedro(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
    )


def typed(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the same command in this process, without the imports."""
    result = CliRunner().invoke(KedroCLI(REPO), arguments, prog_name="kedro")
    assert isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def assert_one_message(code: int, shown: str, expected: list[str]) -> None:
    assert code in (1, 2)
    assert "Traceback" not in shown
    assert shown.count("Error:") == 1
    for text in expected:
        assert text in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--params=betta:0.15"], ["betta: unknown parameter; did you mean beta?"]),
        (["--params=beta:1"], ["beta: must be a number in [0, 1), 'estimated' or 'upper' (got 1)"]),
        (
            ["--params=training.num_processes:99"],
            ["num_processes x micro_batches must divide batch_size (12)"],
        ),
        (
            ["--params=training.num_processes:two"],
            ["num_processes: must be a whole number from 1 on, or 'external'"],
        ),
        (
            ["--params=training.micro_batches:5"],
            ["num_processes x micro_batches must divide batch_size (12)"],
        ),
        (
            ["--params=training.batch_size:4,training.batches:mixed"],
            [
                "training.batch_size must be at least 6 with mixed batches",
                "training.batches: stratified",
            ],
        ),
        (
            ["--params=training.num_stepz:3"],
            ["training.num_stepz", "did you mean training.num_steps?"],
        ),
        (["--env=mnist_evn"], ["no benchmark 'mnist_evn'", "mnist_even"]),
        (["--env="], ["--env", "expected a value, got an empty one"]),
        (["--pipeline=train_pv"], ["no pipeline 'train_pv'. Did you mean train_pu?"]),
        (
            ["--pipeline=report", "--params=seed:987654"],
            ["not there yet", "made by kedro run --pipeline=train_unsupervised"],
        ),
        (
            [
                "--env=mnist_even_small",
                "--pipeline=data_engineering",
                "--params=data.root:/nowhere,data.download:false",
            ],
            ["data.root /nowhere", "MNIST", "/nowhere/MNIST/raw"],
        ),
    ],
)
def test_a_mistake_gets_one_message_and_no_traceback(arguments, expected, monkeypatch, capfd):
    monkeypatch.chdir(REPO)
    env = [] if "--env" in arguments[0] else ["--env=test"]
    code, shown = typed("run", *env, *arguments)
    assert_one_message(code, shown + "".join(capfd.readouterr()), expected)


def test_a_mistake_in_a_process_of_its_own_reads_the_same():
    result = kedro("run", "--env=test", "--pipeline=report", "--params=seed:987654")
    assert_one_message(result.returncode, result.stdout + result.stderr, ["not there yet"])


def test_help_and_the_list_of_pipelines_answer_at_once():
    for arguments, expected in (
        (("run", "--help"), "key:value or key=value"),
        (("registry", "list"), "- train_pu"),
    ):
        begun = time.perf_counter()
        result = kedro(*arguments)
        seconds = time.perf_counter() - begun
        assert result.returncode == 0
        assert expected in result.stdout
        assert (
            seconds < 5
        )  # 0.9 s on a quiet machine; the imports of torch or diffusers alone would take longer


def test_package_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "pu_diffusion_pipeline", "--params=beta"],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "write key:value" in result.stderr


@pytest.mark.parametrize(
    ("option", "level"), [("--quiet", logging.WARNING), ("--verbose", logging.INFO)]
)
def test_quiet_and_verbose_set_what_is_logged(option, level, monkeypatch):
    asked = {}
    monkeypatch.setattr(cli.kedro_run, "callback", lambda **options: asked.update(options))
    ours, kedros = (
        logging.getLogger(name) for name in ("pu_diffusion_pipeline", "kedro.pipeline.node")
    )
    for logger in (ours, kedros):
        monkeypatch.setattr(logger, "level", logging.INFO if logger is ours else logging.CRITICAL)
    result = CliRunner().invoke(cli.run, ["--pipeline=train_pu", option])
    assert (result.exit_code, asked["pipelines"]) == (0, ["train_pu"])
    assert not {"quiet", "verbose"} & set(asked)
    expected = (level, logging.CRITICAL) if option == "--quiet" else (logging.INFO, level)
    assert (ours.level, kedros.level) == expected


def test_quiet_and_verbose_together_are_refused():
    result = CliRunner().invoke(cli.run, ["--quiet", "--verbose"])
    assert result.exit_code == 2
    assert "at most one of them" in result.output
