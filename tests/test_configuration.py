"""Every environment resolves, holds the paper's settings, and every intermediate has a catalog entry."""

import pytest
from kedro.framework.project import pipelines
from omegaconf import OmegaConf

from conftest import BENCHMARKS, REPO
from pu_diffusion_pipeline.config import ProjectConfigLoader
from pu_diffusion_pipeline.images.sources import SOURCES
from pu_diffusion_pipeline.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.parameters import Data, Parameters

TABLE_1 = ["mnist_even", "mnist_odd", "cifar10_vehicles", "cifar10_animals", "stl10_vehicles", "stl10_animals",
           "celeba_male", "celeba_female"]  # fmt: skip
FROM_SCRATCH = TABLE_1[:6]


def loader(env: str | None = None, **params) -> ProjectConfigLoader:
    return ProjectConfigLoader(
        str(REPO / "conf"),
        env=env,
        base_env="base",
        default_run_env="local",
        runtime_params=params,
        merge_strategy={"parameters": "soft"},
    )


def data_sets(pipeline) -> set[str]:
    return {name for name in pipeline.datasets() if not name.startswith("params:") and name != "parameters"}


@pytest.mark.parametrize("env", [None, *BENCHMARKS])
def test_parameters_of_every_environment_are_valid_and_named_after_it(env):
    checked = loader(env).checked_parameters()
    assert checked.benchmark == (env or "digits_even")


@pytest.mark.parametrize("env", [None, *BENCHMARKS])
def test_every_data_set_of_every_pipeline_is_persisted(env, session, tmp_path):
    with session(tmp_path, env) as opened:
        catalog = opened.load_context().catalog
    for name, pipeline in pipelines.items():
        for data_set in data_sets(pipeline):
            kind = type(catalog.get(data_set)).__name__
            assert kind != "MemoryDataset", f"{data_set} of pipeline {name}"
            assert str(catalog.get(data_set)._filepath).startswith(str(tmp_path / "data"))


def test_every_catalog_entry_is_used_by_a_pipeline():
    used = set().union(*(data_sets(pipeline) for pipeline in pipelines.values()))
    assert set(loader()["catalog"]) - used == set()


def test_every_method_has_an_entry_for_each_artifact_under_its_own_folder():
    entries = loader()["catalog"]
    of_pu = {name.removeprefix("pu.") for name in entries if name.startswith("pu.")}
    assert {"checkpoints", "model", "samples", "metrics"} <= of_pu
    for method, facts in METHODS.items():
        own = {name.removeprefix(f"{method}.") for name in entries if name.startswith(f"{method}.")}
        untrained = {"checkpoints", "model", "training_history", "training_manifest", "watch"}
        assert own == of_pu - (set() if facts.trains else untrained)
        for name in own:
            path = entries[f"{method}.{name}"]["filepath"]
            assert f"/{method}/" in path
            assert ("beta_0.1-" in path) == facts.uses_beta
            assert {**entries[f"{method}.{name}"], "filepath": ""} == {**entries[f"pu.{name}"], "filepath": ""}


def test_every_entry_has_a_layer_and_layers_follow_the_dag():
    order = ["raw", "intermediate", "primary", "feature", "models", "model_output", "reporting"]
    entries = loader()["catalog"]
    layers = {name: order.index(entry["metadata"]["kedro-viz"]["layer"]) for name, entry in entries.items()}

    pipeline = pipelines["__default__"]
    for node in pipeline.nodes:
        inputs = [layers[name] for name in node.inputs if not name.startswith("param")]
        outputs = [layers[name] for name in node.outputs]
        assert max(inputs, default=0) <= min(outputs), node.name
    # kedro-viz orders layers over the collapsed boxes too, and in a conflict silently shows none
    for method in DEFAULT_METHODS:
        box = pipeline.only_nodes_with_namespaces([method])
        inputs = [layers[name] for name in box.inputs() if not name.startswith("param")]
        assert max(inputs) <= min(layers[name] for name in box.all_outputs()), method


def test_source_names_agree():
    assert set(Data.model_fields["source"].annotation.__args__) == set(SOURCES)


@pytest.mark.parametrize("env", FROM_SCRATCH)
def test_from_scratch_benchmarks_have_the_settings_of_the_paper(env):
    checked = loader(env).checked_parameters()
    assert checked.beta == 0.1
    assert checked.denoiser.block_out_channels == (128, 128, 256, 512)
    assert checked.denoiser.layers_per_block == 2
    assert checked.denoiser.attention_levels == (2,)
    assert checked.noise.model_dump() == {
        "num_train_timesteps": 1000, "schedule": "linear", "prediction_type": "epsilon"
    }  # fmt: skip
    assert checked.objective.model_dump() == {
        "correction": "non_negative", "reduction": "sum", "error_space": "epsilon", "gamma": 0.2
    }  # fmt: skip
    training = checked.training
    assert (training.num_epochs, training.num_steps, training.learning_rate) == (100, None, 1e-4)
    assert (training.warmup_steps, training.max_grad_norm, training.ema_decay) == (500, 1.0, None)
    assert training.batch_size == (32 if env.startswith("stl10") else 128)
    assert (checked.sampling.sampler, checked.sampling.num_steps) == ("ddpm", 1000)
    assert checked.sampling.num_images == checked.data.counts.test
    assert (checked.data.image_size, checked.data.channels) == (96 if env.startswith("stl10") else 32, 3)


def test_paper_denoiser_has_its_size():
    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser

    checked = loader("mnist_even").checked_parameters()
    denoiser = build_denoiser(checked.denoiser, checked.data.image_size, checked.data.channels, seed=0)
    assert sum(weight.numel() for weight in denoiser.parameters()) == pytest.approx(61.5e6, rel=0.005)


def test_environments_list_only_what_differs():
    base = OmegaConf.load(REPO / "conf/base/parameters.yml")
    for env in BENCHMARKS:
        own = OmegaConf.load(REPO / f"conf/{env}/parameters.yml")
        own.pop("data", None)  # a benchmark states its data in full: its row of Table 1 stands in one place
        own.pop("pretraining", None)  # base has none
        repeated = [name for name, value in leaves(own) if OmegaConf.select(base, name) == value]
        assert repeated == [], f"{env} repeats the base value of {repeated}"


def leaves(config, prefix: str = ""):
    for key, value in config.items():
        if OmegaConf.is_dict(value):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_every_field_is_set_in_base():
    raw = loader()["parameters"]
    assert Parameters.model_validate(raw).model_dump() == Parameters.model_validate(raw).model_dump(exclude_unset=True)
