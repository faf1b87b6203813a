"""Every environment resolves and holds the paper's values; intermediates have catalog entries."""

import importlib
import os
import re
import subprocess
import sys
import typing

import pytest
from kedro.framework.project import pipelines
from omegaconf import OmegaConf

from conftest import BENCHMARKS, REPO
from pu_diffusion_pipeline.config_loader import ProjectConfigLoader
from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.diffusion.options import ObjectiveOptions
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.options import JudgeOptions
from pu_diffusion_pipeline.pipeline_registry import FRONTIER
from pu_diffusion_pipeline.steps import sentence_of
from pu_diffusion_pipeline.training.options import TrainingOptions

TABLE_1 = [
    "mnist_even",
    "mnist_odd",
    "cifar10_vehicles",
    "cifar10_animals",
    "stl10_vehicles",
    "stl10_animals",
    "celeba_male",
    "celeba_female",
]
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
    return {
        name
        for name in pipeline.datasets()
        if not name.startswith("params:") and name != "parameters"
    }


@pytest.mark.parametrize("env", [None, *BENCHMARKS])
def test_parameters_of_every_environment_are_valid_and_named_after_it(env):
    checked = loader(env).final_parameters()
    assert checked.benchmark == (env or "digits_even")


@pytest.mark.parametrize("env", [None, *BENCHMARKS])
def test_every_data_set_of_every_pipeline_is_persisted(env, session, tmp_path):
    with session(tmp_path, env) as opened:
        catalog = opened.load_context().catalog
    for name, pipeline in pipelines.items():
        for data_set in data_sets(pipeline):
            kind = type(catalog.get(data_set)).__name__
            assert kind != "MemoryDataset", f"{data_set} of pipeline {name}"
            assert str(catalog.get(data_set).filepath).startswith(str(tmp_path / "data"))


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
        untrained |= {"tensorboard"}
        untrained |= {"relearned_samples", "relearning", "relearned"}
        assert own == of_pu - (set() if facts.trains else untrained)
        for name in own:
            path = entries[f"{method}.{name}"]["filepath"]
            assert f"/{method}/" in path
            assert ("beta_0.1-" in path) == facts.uses_beta
            assert kind_of(entries[f"{method}.{name}"]) == kind_of(entries[f"pu.{name}"])


def kind_of(entry: dict) -> dict:
    """An entry without what belongs to its method."""
    metadata = {"kedro-viz": entry["metadata"]["kedro-viz"]}
    return {**entry, "filepath": "", "metadata": metadata}


SENTENCE = re.compile(r"[A-Z][^.]*(\.\w[^.]*)*\.")


def test_every_node_and_every_data_set_says_in_one_sentence_what_it_is():
    functions = {node.func for pipeline in pipelines.values() for node in pipeline.nodes}
    said = {function.__name__: sentence_of(function) for function in functions}
    entries = loader()["catalog"]
    said |= {name: entry["metadata"].get("about", "") for name, entry in entries.items()}
    assert {name: text for name, text in said.items() if not SENTENCE.fullmatch(text)} == {}
    assert [name for name, text in said.items() if set(text) & set("`<>")] == []


def test_kedro_viz_is_given_the_sentence_of_every_node():
    for pipeline in pipelines.values():
        for node in pipeline.nodes:
            assert node.preview().content == sentence_of(node.func)


def test_the_sentence_of_a_data_set_reaches_its_preview(session, tmp_path):
    with session(tmp_path, None) as opened:
        catalog = opened.load_context().catalog
    entries = loader()["catalog"]
    for name in ("pu.model", "report", "pu.checkpoints", "all_metrics"):
        assert catalog.get(name).preview() == entries[name]["metadata"]["about"]
    assert "of pu" in entries["pu.model"]["metadata"]["about"]


BOXES = ("data_engineering", "prior_estimation", "judging", "reporting")


def test_every_node_has_a_tag_and_a_box_but_what_stands_between_boxes():
    for name, pipeline in pipelines.items():
        flat = {node.name for node in pipeline.nodes if not node.namespace}
        assert flat <= {"initialize_denoiser", "pretrain_denoiser", "render_data_report"}, name
        assert all(node.tags for node in pipeline.nodes if node.namespace), name
    chosen = pipelines["__default__"].only_nodes_with_tags("pu").nodes
    assert {node.namespace for node in chosen} == {"pu.training", "pu.sampling", "pu.evaluation"}


@pytest.mark.parametrize(
    ("name", "methods"), [("__default__", DEFAULT_METHODS), ("frontier", FRONTIER)]
)
def test_every_entry_has_a_layer_and_layers_follow_the_dag(name, methods):
    order = ["raw", "intermediate", "primary", "feature", "models", "model_output", "reporting"]
    entries = loader()["catalog"]
    layers = {
        name: order.index(entry["metadata"]["kedro-viz"]["layer"])
        for name, entry in entries.items()
    }

    pipeline = pipelines[name]
    for node in pipeline.nodes:
        inputs = [layers[name] for name in node.inputs if not name.startswith("param")]
        outputs = [layers[name] for name in node.outputs]
        assert max(inputs, default=0) <= min(outputs), node.name
    # kedro-viz orders layers over the collapsed boxes too, and in a conflict silently shows none
    for method in {*methods, *BOXES}:
        box = pipeline.only_nodes_with_namespaces([method])
        inputs = [layers[name] for name in box.inputs() if not name.startswith("param")]
        outputs = [layers[name] for name in box.all_outputs()]
        assert max(inputs, default=0) <= min(outputs, default=9), method


@pytest.mark.parametrize(
    ("section", "option", "registry"),
    [
        (ObjectiveOptions, "correction", "positive_unlabeled.risk.CORRECTIONS"),
        (TrainingOptions, "timesteps", "diffusion.noising.TIMESTEPS"),
        (JudgeOptions, "architecture", "metrics.backbones.BACKBONES"),
    ],
)
def test_choices_agree_with_registries_that_need_torch(section, option, registry):
    module, name = registry.rsplit(".", 1)
    known = getattr(importlib.import_module(f"pu_diffusion_pipeline.{module}"), name)
    assert set(typing.get_args(section.model_fields[option].annotation)) == set(known)


def test_loading_parameters_imports_no_heavy_library():
    code = (
        "import sys, yaml; from pu_diffusion_pipeline.experiment.parameters import load_parameters;"
        f"load_parameters(yaml.safe_load(open({str(REPO / 'conf/base/parameters.yml')!r})));"
        "heavy = 'torch', 'sklearn', 'scipy', 'diffusers', 'torchvision', 'pandas', 'matplotlib';"
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert result.stdout.strip() == "[]", result.stderr


# The paper's values -------------------------------------------------------------------------------

# Source, normal classes, image size, images (U normal, U sensitive, S, test), epochs of the judge.
ROWS = {
    "mnist_even": ("mnist", (0, 2, 4, 6, 8), 32, (25000, 2500, 2500, 4926), 3),
    "mnist_odd": ("mnist", (1, 3, 5, 7, 9), 32, (25000, 2500, 2500, 5074), 3),
    "cifar10_vehicles": ("cifar10", (0, 1, 8, 9), 32, (20000, 2000, 2000, 4000), 5),
    "cifar10_animals": ("cifar10", (2, 3, 4, 5, 6, 7), 32, (20000, 2000, 2000, 6000), 5),
    "stl10_vehicles": ("stl10", (0, 2, 8, 9), 96, (2000, 200, 200, 3200), 10),
    "stl10_animals": ("stl10", (1, 3, 4, 5, 6, 7), 96, (2000, 200, 200, 4800), 10),
    "celeba_male": ("celeba", (1,), 256, (2000, 200, 200, 7715), 3),
    "celeba_female": ("celeba", (0,), 256, (2000, 200, 200, 12247), 3),
}
OTHER = {"male": "female", "even": "odd", "vehicles": "animals"}
OTHER |= {second: first for first, second in OTHER.items()}
FINE_TUNED = [env for env in BENCHMARKS if env.endswith("_finetune")]


@pytest.mark.parametrize("env", [*ROWS, *FINE_TUNED, "mnist_even_small", "mnist_odd_small"])
def test_rows_have_the_images_of_table_1(env):
    checked = loader(env).final_parameters()
    kind, word = env.split("_")[:2]
    source, normal_classes, image_size, sizes, num_epochs = ROWS[f"{kind}_{word}"]
    data, counts = checked.data, checked.data.counts
    assert (data.source, data.normal_classes, data.image_size) == (
        source,
        normal_classes,
        image_size,
    )
    assert sizes == (
        counts.unlabeled_normal,
        counts.unlabeled_sensitive,
        counts.labeled_sensitive,
        counts.test,
    )
    assert counts.heldout_sensitive == ROWS[f"{kind}_{OTHER[word]}"][3][-1]
    assert data.channels == (1 if env.endswith("_small") else 3)
    judge = checked.judge
    assert judge.architecture == ("lenet" if kind == "mnist" else "resnet34")
    assert judge.num_epochs == num_epochs
    assert judge.image_size == (32 if kind == "mnist" else 224)
    assert checked.beta == 0.1
    assert checked.evaluation.kid_subset_size == 1000


@pytest.mark.parametrize("env", [*ROWS, *FINE_TUNED])
def test_rows_are_trained_as_in_the_paper(env):
    checked = loader(env).final_parameters()
    training = checked.training
    assert training.num_epochs == (20 if env in FINE_TUNED else 100)
    assert training.batch_size == {"stl10": 32, "celeba": 16}.get(checked.data.source, 128)
    assert (training.num_steps, training.learning_rate) == (None, 1e-4)
    assert (training.batches, training.timesteps) == ("mixed", "independent")
    assert (training.weight_decay, training.adam_betas) == (0.01, (0.9, 0.999))
    assert (training.warmup_steps, training.max_grad_norm, training.ema_decay) == (500, 1.0, None)
    assert checked.noise.model_dump() == {
        "num_train_timesteps": 1000,
        "schedule": "linear",
        "prediction_type": "epsilon",
    }
    assert checked.objective.model_dump() == {
        "correction": "non_negative",
        "reduction": "sum",
        "error_space": "epsilon",
        "gamma": 0.2,
        "mixing": 0.5,
    }
    sampling = checked.sampling
    assert sampling.num_images == checked.data.counts.test
    usual = ("ddpm", 1000) if env in FROM_SCRATCH else ("ddim", 50)
    assert (sampling.sampler, sampling.num_steps) == usual
    hub = {"cifar10": "google/ddpm-cifar10-32", "celeba": "google/ddpm-celebahq-256"}
    assert checked.pretrained == (hub[checked.data.source] if env in FINE_TUNED else None)


@pytest.mark.parametrize("env", TABLE_1)
def test_rows_from_scratch_have_the_denoiser_of_the_paper(env):
    celeba = env.startswith("celeba")  # that of the published model
    assert loader(env).final_parameters().denoiser.model_dump() == {
        "block_out_channels": (128, 128, 256, 256, 512, 512) if celeba else (128, 128, 256, 512),
        "layers_per_block": 2,
        "attention_levels": (4,) if celeba else (2,),
        "middle_attention": True,
        "attention_head_dim": 512 if celeba else 8,
        "norm_num_groups": 32,
    }


def test_paper_denoiser_has_its_size():
    from pu_diffusion_pipeline.diffusion.denoiser import build_denoiser

    checked = loader("mnist_even").final_parameters()
    denoiser = build_denoiser(
        checked.denoiser, checked.data.image_size, checked.data.channels, seed=0
    )
    assert sum(weight.numel() for weight in denoiser.parameters()) == pytest.approx(
        61.5e6, rel=0.005
    )


# Files --------------------------------------------------------------------------------------------

SHARED = {path.stem: path for path in (REPO / "conf/shared").glob("*.yml")}
TABLES = [env for env in BENCHMARKS if env.startswith(tuple(ROWS))]


def test_environments_list_only_what_differs():
    for env in BENCHMARKS:
        own = OmegaConf.load(REPO / f"conf/{env}/parameters.yml")
        below = OmegaConf.load(REPO / "conf/base/parameters.yml")
        for name in own.pop("include", []):
            below = OmegaConf.merge(below, OmegaConf.load(SHARED[name]))
        repeated = [
            name
            for name, value in leaves(own)
            if OmegaConf.select(below, name) == value
            and name != "data.normal_classes"  # a row of Table 1 names its classes
        ]
        assert repeated == [], f"{env} repeats the value of {repeated}"


@pytest.mark.parametrize("env", TABLES)
def test_a_row_of_the_tables_is_short(env):
    assert len((REPO / f"conf/{env}/parameters.yml").read_text().splitlines()) <= 10


def test_every_shared_file_is_included_by_two_benchmarks():
    for name in SHARED:
        users = [
            env
            for env in BENCHMARKS
            if name in OmegaConf.load(REPO / f"conf/{env}/parameters.yml").get("include", [])
        ]
        assert len(users) > 1, name


def test_an_override_changes_one_value_of_a_shared_file_and_keeps_the_others():
    configured = loader("mnist_even").final_parameters()
    overridden = loader(
        "mnist_even", training={"num_steps": 5, "num_epochs": None}, data={"root": "/x"}
    ).final_parameters()
    expected = configured.model_dump()
    expected["training"] |= {"num_steps": 5, "num_epochs": None}
    expected["data"]["root"] = "/x"
    assert overridden.model_dump() == expected


def test_a_row_wins_over_shared_files_and_a_later_one_over_an_earlier_one():
    loaded = loader("stl10_animals")
    assert loaded.final_parameters().training.batch_size == 32, "stl10 comes after paper"
    assert loaded.final_parameters().data.counts.test == 4800
    assert "include" not in loaded["parameters"]


def test_loaders_in_one_process_do_not_disturb_each_other():
    first, second = loader("mnist_even"), loader("cifar10_animals_finetune", seed=3)
    assert (first["parameters"]["seed"], second["parameters"]["seed"]) == (0, 3)
    assert first.final_parameters().training.num_epochs == 100
    assert second.final_parameters().training.num_epochs == 20
    assert first.final_parameters() == loader("mnist_even").final_parameters()


@pytest.mark.parametrize(
    ("include", "message"),
    [(["mnits"], "did you mean mnist"), (["../base/catalog"], "must be one of"), ("mnist", "list")],
)
def test_an_unknown_shared_file_is_refused(include, message):
    with pytest.raises(InvalidInput, match=message):
        loader("mnist_even", include=include)["parameters"]


def leaves(config, prefix: str = ""):
    for key, value in config.items():
        if OmegaConf.is_dict(value):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_every_field_is_set_in_base():
    parameters = loader().final_parameters()
    assert parameters.model_dump() == parameters.model_dump(exclude_unset=True)
