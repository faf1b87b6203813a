"""What parameters.yml may say, and the message where it may not."""

import pytest
from omegaconf import OmegaConf

from conftest import REPO
from pu_diffusion_pipeline.command_line import parse_params
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.parameters import Parameters, load_parameters

BASE = OmegaConf.load(REPO / "conf/base/parameters.yml")


def raw(**overrides) -> dict:
    return OmegaConf.to_container(OmegaConf.merge(BASE, OmegaConf.create(overrides)))


def refusal(**overrides) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_parameters(raw(**overrides))
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"seed": True}, "  seed: must not be true or false (got True)"),
        ({"beta": False}, "  beta: must not be true or false (got False)"),
        ({"data": {"channels": True}}, "  data.channels: must not be true or false"),
        ({"data": {"normal_classes": [True, 2]}}, "data.normal_classes: must not be"),
        ({"training": {"num_epochs": True}}, "  training.num_epochs: must not be true or false"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: Input should"),
        ({"training": {"adam_betas": [0.9, float("nan")]}}, "training.adam_betas.1: Input"),
        ({"sampling": {"guidance": float("nan")}}, "  sampling.guidance: Input should be a finite"),
        ({"beta": float("nan")}, "  beta: must be a number in [0, 1), 'estimated' or 'upper'"),
        ({"data": {"normal_classes": [0, 2, 0]}}, "once, but 0 stands there twice (got [0, 2, 0])"),
        ({"paper_row": "mnist_evn"}, "did you mean mnist_even? (got 'mnist_evn')"),
        ({"data": {"source": "minst"}}, "folder; did you mean mnist? (got 'minst')"),
        ({"sampling": {"sampler": "ddmp"}}, "  sampling.sampler: must be one of ddpm, ddim, "),
        ({"class_prior": {"model": "forest"}}, "must be one of auto, mlp, svm, tedn,"),
        ({"sampling": {"sampler": "ddim"}}, "samplers dpm_solver++ and sde_dpm_solver++ only"),
        ({"training": {"num_stps": 1}}, "unknown parameter; did you mean training.num_s"),
        ({"pretraining": {"sed": 1, "seed": 1}}, "did you mean pretraining.seed?"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_in_one_clear_line(overrides, message):
    text = refusal(**overrides)
    assert message in text
    assert len(text.splitlines()) == 2


def test_true_stays_a_value_of_switches():
    assert load_parameters(raw(compute={"compile": True})).compute.compile is True


def test_an_error_of_training_is_not_repeated_by_pretraining():
    text = refusal(training={"batch_size": 1}, pretraining={"seed": 0})
    assert "pretraining" not in text


def test_pretraining_is_as_training_but_for_what_it_says():
    checked = load_parameters(
        raw(training={"batch_size": 32}, pretraining={"learning_rate": 0.5, "seed": 3})
    )
    expected = {**checked.training.model_dump(), "learning_rate": 0.5, "seed": 3}
    assert checked.pretraining.model_dump() == expected


@pytest.mark.parametrize(
    ("length", "other"), [("num_steps", "num_epochs"), ("num_epochs", "num_steps")]
)
def test_pretraining_takes_its_length_from_one_place(length, other):
    checked = load_parameters(
        raw(training={other: 7, length: None}, pretraining={length: 5, "seed": 0})
    )
    assert (checked.pretraining.model_dump()[length], checked.pretraining.model_dump()[other]) == (
        5,
        None,
    )


def test_sections_may_be_options_already():
    once = load_parameters(raw(pretraining={"num_steps": 5, "seed": 0}))
    sections = {name: getattr(once, name) for name in Parameters.model_fields}
    assert load_parameters(sections) == once
    again = load_parameters({**sections, "pretraining": {"num_steps": 5, "seed": 0}})
    assert again == once


def test_locks_are_turned_off_by_the_word_that_the_message_names():
    assert load_parameters(raw(**parse_params("folder_locks:off"))).folder_locks == "off"
