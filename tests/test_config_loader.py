"""Typed parameters, and catalog paths made from the final ones."""

import shutil

import pytest

from conftest import REPO
from pu_diffusion_pipeline.catalog_entries import expand_catalog
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.options import TrainingOptions

CONF = REPO / "conf"


def path(name: str, **params) -> str:
    return open_loader(CONF, "test", params)["catalog"][name]["filepath"]


def test_sections_are_option_objects_with_the_overrides():
    training = open_loader(CONF, "test", {"training": {"num_steps": 9}})["parameters"]["training"]
    assert isinstance(training, TrainingOptions)
    assert training.num_steps == 9


def test_the_folder_shows_beta_seed_and_what_was_overridden():
    assert path("pu.model") == "data/06_models/test/pu/beta_0.1-seed_0/model"
    overridden = path("pu.model", beta=0.2, seed=3, training={"num_steps": 9})
    assert overridden == "data/06_models/test/pu/beta_0.2-seed_3-training.num_steps_9/model"


def test_two_loaders_at_once_do_not_mix():
    """OmegaConf's resolvers are process-wide: two sessions in one process would share them."""
    one = open_loader(CONF, "test", {"beta": 0.2})
    other = open_loader(CONF, None, {"seed": 7})
    for _ in range(2):
        assert one["catalog"]["pu.model"]["filepath"].startswith("data/06_models/test/pu/beta_0.2")
        assert "digits_even/pu/beta_0.1-seed_7" in other["catalog"]["pu.model"]["filepath"]
    assert one.runtime_params == {"beta": 0.2}


def test_an_entry_of_each_method_has_the_folder_of_its_stage_and_a_claim():
    catalog = open_loader(CONF, "test", {"sampling": {"num_steps": 7}})["catalog"]
    for method in METHODS:
        entry = catalog[f"{method}.samples"]
        claim = entry["metadata"]["claim"]
        assert (claim["stage"], claim["method"]) == ("samples", method)
        assert entry["filepath"] == f"{claim['path']}/samples"
        assert claim["path"].endswith("sampling.num_steps_7")
        assert entry["metadata"]["kedro-viz"]["layer"] == "model_output"


@pytest.mark.parametrize("stage", ["source", "split", "judge"])
def test_a_placeholder_of_a_stage_becomes_its_folder(stage):
    parameters = open_loader(CONF, "test", {}).final_parameters()
    catalog = {"one": {"filepath": f"data/<benchmark>/<run:{stage}>/one.csv"}}
    entry = expand_catalog(catalog, parameters, parameters)["one"]
    assert entry["filepath"].startswith("data/test/")
    assert entry["filepath"].endswith("/one.csv")
    assert "<" not in entry["filepath"]
    assert entry["metadata"]["claim"]["stage"] == stage


def test_the_sentence_of_an_entry_must_be_a_text():
    parameters = open_loader(CONF, "test", {}).final_parameters()
    catalog = {"one": {"filepath": "data/one.csv", "about": ["a", "b"]}}
    with pytest.raises(InvalidInput, match=r"one\.about must be a sentence, got \['a', 'b'\]"):
        expand_catalog(catalog, parameters, parameters)


def test_a_path_without_a_run_has_no_claim():
    parameters = open_loader(CONF, "test", {}).final_parameters()
    catalog = {"all": {"filepath": "data/<benchmark>"}}
    assert expand_catalog(catalog, parameters, parameters) == {"all": {"filepath": "data/test"}}


# --- a configuration that is not read ------------------------------------------------------------


@pytest.fixture
def conf(tmp_path):
    """A copy of conf/ with a folder `mine` that holds nothing yet."""
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "conf/mine").mkdir()
    return tmp_path / "conf"


def test_a_benchmark_of_ones_own_is_read(conf):
    (conf / "mine/parameters.yml").write_text("benchmark: mine\nbeta: 0.3\n")
    assert open_loader(conf, "mine", {}).final_parameters().beta == 0.3


def test_a_folder_without_parameters_is_refused_with_what_it_holds(conf):
    with pytest.raises(InvalidInput, match=r"parameters\.yml.* there is nothing"):
        open_loader(conf, "mine", {}).final_parameters()
    (conf / "mine/params.yml").write_text("benchmark: mine\n")
    (conf / "mine/parameters.yml").mkdir()
    with pytest.raises(InvalidInput, match=r"there is parameters\.yml, params\.yml"):
        open_loader(conf, "mine", {}).final_parameters()


@pytest.mark.parametrize("content", ["beta: 0.3\n", "benchmark: test\n"])
def test_a_benchmark_that_is_not_called_as_its_folder_is_refused(conf, content):
    (conf / "mine/parameters.yml").write_text(content)
    with pytest.raises(InvalidInput, match="benchmark must be 'mine', as its folder"):
        open_loader(conf, "mine", {}).final_parameters()


@pytest.mark.parametrize("env", ["", " "])
def test_an_empty_environment_is_refused(env):
    with pytest.raises(InvalidInput, match="--env: expected the name of a folder"):
        open_loader(CONF, env, {})


def test_an_unknown_benchmark_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match=r"no benchmark 'mnist_evn'; there are .*mnist_even"):
        open_loader(CONF, "mnist_evn", {}).final_parameters()
