"""Random inputs: read, or refused as a user's mistake; never a failure of another kind."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import REPO
from pu_diffusion_pipeline.cli import parse_params
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import Claim, refuse_changed
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.failures import MOST_LINES, one_short_message
from pu_diffusion_pipeline.reproduction.arguments import parse_betas, parse_seeds

BASE = (REPO / "conf/base/parameters.yml").read_text()
SECTIONS = ["data", "data.counts", "training", "watch", "class_prior", "judge", "evaluation"]
KEYS = [*Parameters.model_fields, *(f"{section}.num_epochs" for section in SECTIONS)]

names = st.sampled_from(KEYS) | st.text("abz_.[]", max_size=12)
numbers = st.integers().map(str) | st.floats().map(str) | st.sampled_from(["0x1F", "1e400", "²"])
marks = st.text("[]{}:=,.'\"$!&*#?-| \tab0", max_size=12)
values = numbers | marks | st.text(max_size=8) | st.sampled_from(["null", "true", "${seed}", "???"])
items = st.builds("{}{}{}".format, names, st.sampled_from(":="), values)
param_texts = st.lists(items | marks, max_size=4).map(",".join)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def mutated(text: str) -> st.SearchStrategy[bytes]:
    """The text with a few pieces cut out, doubled, or replaced by others."""
    data = text.encode()
    places = st.integers(0, len(data))
    piece = st.binary(max_size=3) | st.sampled_from(
        [b"\t", b"- ", b": ", b"{", b"[", b"&a *a", b'"']
    )

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = data
        for start, length, new in edits:
            changed = changed[:start] + new + changed[start + length :]
        return changed

    return st.lists(st.tuples(places, st.integers(0, 40), piece), min_size=1, max_size=3).map(
        change
    )


def few_and_many(few: int, many: int):
    """Run a test with few examples, and with many among the slow tests."""
    return pytest.mark.parametrize(
        "examples", [few, pytest.param(many, marks=pytest.mark.slow)], ids=["few", "many"]
    )


def check(test, strategy: st.SearchStrategy, examples: int) -> None:
    """Run a test on examples of a strategy, the same ones each time."""
    chosen = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    chosen(given(strategy)(test))()


@pytest.fixture
def conf(tmp_path):
    """The base configuration alone."""
    shutil.copytree(REPO / "conf/base", tmp_path / "conf/base")
    (tmp_path / "conf/local").mkdir()
    return tmp_path / "conf"


@few_and_many(300, 10_000)
def test_params_are_a_dict_or_a_value_error(examples):
    def read(text: str) -> None:
        with suppress(ValueError):
            assert isinstance(parse_params(text), dict)

    check(read, param_texts, examples)


@few_and_many(60, 2000)
def test_params_that_are_read_are_parameters_or_refused(examples, conf):
    def load(text: str) -> None:
        try:
            parsed = parse_params(text)
        except ValueError:
            return
        with suppress(InvalidInput):
            open_loader(conf, None, parsed).final_parameters()

    check(load, items | param_texts, examples)


@few_and_many(40, 2000)
def test_any_nested_value_is_a_parameter_or_refused(examples, conf):
    def load(parameters: dict[str, object]) -> None:
        with suppress(InvalidInput):
            open_loader(conf, None, parameters).final_parameters()

    check(load, st.dictionaries(st.sampled_from(KEYS), plain, max_size=3), examples)


@few_and_many(30, 3000)
@pytest.mark.parametrize("name", ["base/parameters.yml", "local/parameters.yml"])
def test_any_file_is_read_or_refused_in_a_few_lines(examples, name, conf):
    def load(content: bytes) -> None:
        (conf / name).write_bytes(content)
        message = ""
        try:
            with one_short_message():
                open_loader(conf, None, {}).final_parameters()
        except click.ClickException as refusal:
            message = refusal.message
        assert "This is a bug" not in message
        assert "error.log" not in message
        assert len(message.splitlines()) <= MOST_LINES

    contents = st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | mutated(BASE)
    check(load, contents, examples)


@few_and_many(30, 2000)
def test_any_catalog_is_expanded_or_refused(examples, conf):
    def load(content: bytes) -> None:
        (conf / "local/catalog.yml").write_bytes(content)
        with suppress(InvalidInput):
            loader["catalog"]
        loader._checked.discard("catalog")

    text = (conf / "base/catalog/classifier.yml").read_text()
    loader = open_loader(conf, None, {})
    contents = st.binary(max_size=60) | plain.map(json.dumps).map(str.encode) | mutated(text)
    check(load, contents, examples)


@few_and_many(300, 10_000)
def test_seeds_and_betas_are_read_or_refused(examples):
    def read(text: str) -> None:
        for parse in (parse_seeds, parse_betas):
            with suppress(InvalidInput):
                assert parse(text)

    check(read, st.text("0123456789-,. e²٣", max_size=12) | st.text(max_size=8), examples)


@few_and_many(100, 3000)
def test_any_claim_is_read_or_refused(examples, tmp_path):
    def read(content: bytes) -> None:
        claim.path.write_bytes(content)
        with suppress(InvalidInput):
            claim.differences()
        with suppress(InvalidInput):
            refuse_changed(claim.path, claim.path, "made anew")

    claim = Claim(Path(tmp_path), "model", "pu", {"seed": 1, "data.counts.test": 3})
    claim.take()
    written = claim.path.read_text()
    names = st.sampled_from(["stage", "method", "made_with", "digests"])
    anything = st.dictionaries(names, plain).map(lambda values: json.dumps(values).encode())
    check(read, st.binary(max_size=40) | anything | mutated(written), examples)
