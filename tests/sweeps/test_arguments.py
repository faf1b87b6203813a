"""What a sweep may be asked for; the file asks for the same as the command line."""

import pytest
from click.testing import CliRunner

from conftest import REPO
from pu_diffusion_pipeline.cli_sweep import sweep
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.sweeps.arguments import (
    Request,
    make_request,
    parse_seeds,
    read_request,
)

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


def test_text_and_lists_ask_for_the_same():
    text = {"benchmarks": "test", "methods": "pu,clean", "seeds": "0-1", "betas": "0.05,estimated"}
    lists = {
        "benchmarks": ["test"],
        "methods": ["pu", "clean"],
        "seeds": [0, 1],
        "betas": [0.05, "estimated"],
    }
    assert make_request(text, CONF) == make_request(lists, CONF)


def test_the_saved_file_asks_for_the_same_again(tmp_path):
    request = Request(
        benchmarks=("test",),
        methods="all",
        seeds=(0, 3),
        betas=(0.05, "estimated"),
        set={"training.learning_rate": (1e-3, 1e-5), "data.normal_classes": ([1], [1, 3])},
        params={"training": {"num_steps": 4, "muon_learning_rate": None}},
    )
    path = tmp_path / "sweep.yml"
    path.write_text(request.to_yaml())
    again = read_request(path, CONF)
    assert again.model_dump(mode="json") == request.model_dump(mode="json")
    assert again.name == request.name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": "cleen"}, "--methods: must be one of .*; did you mean clean"),
        ({"benchmarks": "mnist_evn"}, "--env: no benchmark 'mnist_evn'; there are .*mnist_even"),
        ({"benchmarks": "base"}, "--env: no benchmark 'base'"),
        ({"benchmarks": "test,test"}, "--env: expected none twice"),
        ({"methods": "pu,pu"}, "--methods: expected none twice"),
        ({"betas": "0.1,1e-1"}, "--betas: expected none twice"),
        ({"seeds": "0,0"}, "--seeds: expected none twice"),
        ({"seeds": []}, "--seeds: expected at least one"),
        ({"seeds": ["x"]}, "sweep: seeds: .*valid integer"),
        ({"set": {"beta": [0.1]}}, "beta is set by --betas"),
        ({"set": {"seed": [1]}}, "seed is set by --seeds"),
        ({"params": {"seed": 1}}, "seed is set by --seeds"),
        ({"set": {"sampling.num_steps": [2, 2]}}, "--set sampling.num_steps: expected none twice"),
        ({"set": {"sampling.num_steps": []}}, "--set sampling.num_steps: expected at least one"),
        (
            {"set": {"sampling.num_steps": [2]}, "params": {"sampling": {"num_steps": 3}}},
            "--set sampling.num_steps: sampling.num_steps is given too",
        ),
        ({"sead": 1}, "sead: unknown field; known: benchmarks, methods"),
    ],
)
def test_a_mistake_gets_one_message(given, message):
    with pytest.raises(InvalidInput, match=message):
        make_request(given, CONF)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "sampling.num_steps"], "has no ':' or '='"),
        (["--set", "a.b=1", "--set", "a.b=2"], "a.b is given twice"),
        (["sweep.yml", "--seeds=0"], "leave out the options that do so too"),
        (["--set", ""], "expected NAME=VALUE,..., got ''"),
    ],
)
def test_a_command_that_cannot_be_read_is_refused(arguments, message):
    result = CliRunner().invoke(sweep, arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
