import importlib.metadata
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.digests import digest
from pu_diffusion_pipeline.experiment import identity, software
from pu_diffusion_pipeline.experiment.identity import (
    LONGEST_TAG,
    STAGES,
    differences,
    made_with,
    run_folder,
)
from pu_diffusion_pipeline.experiment.parameters import Parameters, load_parameters

CONF = Path(__file__).resolve().parents[2] / "conf"
SAMPLED = {"samples", "relearned"}
MEASURED = {"metrics", "relearning", "comparable", "frontier"}
OF_METHODS = ("model", "samples", "metrics")


@cache
def configured():
    return OmegaConf.merge(
        *(OmegaConf.load(CONF / name / "parameters.yml") for name in ("base", "test"))
    )


@cache
def parameters(*overrides: str) -> Parameters:
    """The parameters of the test benchmark, with overrides as `training.num_steps=9`."""
    merged = OmegaConf.merge(configured(), OmegaConf.from_dotlist(list(overrides)))
    return load_parameters(OmegaConf.to_container(merged))


def folder(*overrides: str, stage: str = "model", method: str | None = "pu") -> str:
    return run_folder(parameters(*overrides), parameters(), stage, method)


def flat(*overrides: str, stage: str = "model", method: str | None = None) -> dict:
    return identity.made_with(parameters(*overrides), stage, method)


# --- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["0.1", "0.10", "1e-1", "0.1000", "'0.10'"])
def test_every_spelling_of_beta_gives_one_folder(spelling):
    assert folder(f"beta={spelling}") == "beta_0.1-seed_0"


def test_beta_and_seed_are_always_shown():
    assert folder("beta=0.15", "seed=3") == "beta_0.15-seed_3"
    assert folder("beta=estimated") == "beta_estimated-seed_0"
    assert folder("beta=0") == "beta_0-seed_0"


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("stage", OF_METHODS)
def test_beta_shows_in_the_folders_of_the_methods_that_use_it_only(stage, method):
    changed = folder("beta=0.2", stage=stage, method=method) != folder(
        "beta=0.1", stage=stage, method=method
    )
    assert changed == METHODS[method].uses_beta
    assert ("beta" in folder(stage=stage, method=method)) == METHODS[method].uses_beta


def test_an_override_shows_in_the_folder():
    assert folder("training.num_steps=9") == "beta_0.1-seed_0-training.num_steps_9"
    assert folder("training.num_steps=6") == "beta_0.1-seed_0", (
        "the value that is configured anyway"
    )
    assert folder("training.learning_rate=3e-3") == folder("training.learning_rate=0.0030")
    assert folder("training.learning_rate=3e-3").endswith("-training.learning_rate_0.003")


def test_overrides_are_in_one_order():
    overrides = ["training.num_steps=9", "objective.reduction=mean", "data.image_size=32"]
    assert folder(*overrides) == folder(*reversed(overrides))
    assert folder(*overrides) == (
        "beta_0.1-seed_0-data.image_size_32-objective.reduction_mean-training.num_steps_9"
    )


@pytest.mark.parametrize(
    "override",
    [
        "data.root=/elsewhere",
        "data.download=false",
        "training.log_every=2",
        "training.checkpoint_every=4",
        "compute.device=auto",
        "sampling.batch_size=7",
        "sampling.num_processes=2",
        "evaluation.batch_size=7",
        "evaluation.inception_weights=/w.pth",
    ],
)
def test_what_does_not_change_results_does_not_show(override):
    for stage in STAGES:
        assert folder(override, stage=stage) == folder(stage=stage)
        assert flat(override, stage=stage) == flat(stage=stage)


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("sampling.num_steps=4", {*SAMPLED, *MEASURED}),
        ("evaluation.neighborhood=2", {"reference", *MEASURED}),
        ("judge.num_epochs=3", {"judge", "reference", *MEASURED}),
        ("class_prior.delta=0.2", {"class_prior", "sensitivity", "cleaned", "frontier"}),
        ("cleaning.probability=0.3", {"cleaned", "frontier"}),
        ("filtering.share=0.3", {"frontier"}),
        ("guiding.weight=3", {"frontier"}),
        ("relearning.every=2", {"relearned", "relearning"}),
        ("noise.schedule=scaled_linear", {"base", "initial", "model", *SAMPLED, *MEASURED}),
        ("compute.precision=bf16", {"base", "model", *SAMPLED, *MEASURED}),
        (
            "seed=5",
            {"split", "class_prior", "sensitivity", "cleaned", "initial", "model"}
            | {*SAMPLED, *MEASURED} - {"comparable", "frontier"},
        ),
        ("data.image_size=32", set(STAGES)),
    ],
)
def test_an_override_shows_where_the_artifact_depends_on_it_and_nowhere_else(override, stages):
    assert {
        stage for stage in STAGES if folder(override, stage=stage) != folder(stage=stage)
    } == stages
    assert {stage for stage in STAGES if flat(override, stage=stage) != flat(stage=stage)} == stages


def test_an_estimated_beta_depends_on_how_it_is_estimated():
    assert folder("beta=estimated", "class_prior.delta=0.2") != folder("beta=estimated")
    assert "class_prior.delta_0.2" in folder("beta=estimated", "class_prior.delta=0.2")
    assert folder("class_prior.delta=0.2") == folder()
    assert folder("beta=estimated", "class_prior.delta=0.2", method="supervised") == folder(
        method="supervised"
    )


def test_nothing_special_is_called_default():
    assert folder(stage="source", method=None) == "default"
    assert folder("data.image_size=32", stage="source", method=None) == "data.image_size_32"


def test_many_overrides_become_a_digest_that_keeps_beta_and_seed_readable():
    many = [
        "data.image_size=32",
        "training.learning_rate=0.003",
        "training.num_steps=9",
        "training.warmup_steps=1",
        "objective.correction=absolute",
        "objective.reduction=mean",
    ]
    tag = folder(*many)
    assert tag.startswith("beta_0.1-seed_0-overrides_")
    assert len(tag) <= LONGEST_TAG
    assert tag == folder(*reversed(many))
    assert tag != folder(*many[:-1], "objective.correction=none")


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.floats(0, 0.999),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True),
    st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
)
def test_a_folder_name_is_one_short_plain_component(beta, seed, normal_classes, schedule):
    name = folder(
        f"beta={beta}",
        f"seed={seed}",
        f"data.normal_classes={normal_classes}",
        f"noise.schedule={schedule}",
    )
    assert 0 < len(name) <= LONGEST_TAG
    assert all(letter.isascii() and (letter.isalnum() or letter in "._-+") for letter in name)


# --- made with ------------------------------------------------------------------------------------


def test_a_method_adds_the_sections_of_its_own_and_other_methods_ignore_them():
    for method, facts in METHODS.items():
        made = made_with(parameters(), "samples", method)
        for section in ("cleaning", "guiding", "filtering"):
            is_there = any(name.startswith(f"{section}.") for name in made)
            assert is_there == (section in facts.sections), (method, section)
        assert ("training.num_steps" in made) == (method != "pretrained")


def test_what_an_artifact_was_made_with_is_flat_and_survives_json():
    made = flat(method="pu")
    assert made["training.num_steps"] == 6
    assert made["training.adam_betas"] == [0.9, 0.99]
    assert made["data.counts.labeled_sensitive"] == 24
    assert made["beta"] == 0.1
    assert json.loads(json.dumps(made)) == made


def test_a_model_is_made_with_beta_only_by_the_methods_that_use_it():
    using = {method for method in METHODS if "beta" in flat(method=method)}
    assert using == {"pu", "pnu", "pu_weighted", "pu_guided", "pu_filtered"}
    assert not any(name.startswith("class_prior") for name in flat(method="pu"))
    assert flat("beta=estimated", method="pu")["class_prior.delta"] == 0.1


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("source", "split"),
        ("split", "class_prior"),
        ("split", "model"),
        ("model", "samples"),
        ("samples", "metrics"),
        ("source", "judge"),
        ("judge", "reference"),
        ("reference", "metrics"),
    ],
)
def test_a_stage_is_made_with_all_that_its_inputs_are_made_with(earlier, later):
    upstream, here = (flat(stage=stage, method="pu") for stage in (earlier, later))
    assert {name: here[name] for name in upstream} == upstream
    assert len(here) > len(upstream)


def test_equal_parameters_pass_whatever_the_order():
    assert differences({"a": 1, "b": [0.9, 0.99]}, {"b": [0.9, 0.99], "a": 1.0}) == []
    assert differences(json.loads(json.dumps(flat(method="pu"))), flat(method="pu")) == []


def test_every_differing_parameter_is_named_and_no_other():
    lines = differences(
        flat(), flat("training.learning_rate=0.5", "noise.schedule=linear", "seed=4")
    )
    assert len(lines) == 3
    assert "training.learning_rate: made with 0.001, now 0.5" in lines
    assert "seed: made with 0, now 4" in lines
    assert any(line.startswith("noise.schedule: made with ") for line in lines)


def test_differences_are_one_line_for_each_parameter():
    assert differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 4}) == [
        "b: made with 2, now 4",
        "c: made with 3, now None",
    ]


@pytest.mark.parametrize(
    ("made", "asked"), [({"a": 1}, {}), ({}, {"a": 1}), ({"a": 1}, {"a": None})]
)
def test_a_parameter_that_one_side_lacks_is_named(made, asked):
    assert [line.split(":")[0] for line in differences(made, asked)] == ["a"]


def test_parameters_that_make_no_difference_are_left_out():
    assert "objective.gamma" not in flat(method="pu")
    assert flat(method="pnu")["objective.gamma"] == 0.2
    assert folder("objective.gamma=0.5") == folder()
    assert folder(
        "training.condition_dropout=0.5", "sampling.guidance=3", stage="metrics"
    ) == folder(stage="metrics")
    conditional = ["data.num_conditions=10", "sampling.guidance=3"]
    assert flat(*conditional, stage="samples")["sampling.guidance"] == 3


def test_a_pretrained_model_replaces_the_denoiser_and_does_not_depend_on_the_seed():
    start = "pretrained=some/model"
    assert flat(start)["pretrained"] == "some/model"
    assert "denoiser.layers_per_block" not in flat(start)
    assert "denoiser.layers_per_block" in flat(start, stage="base")
    assert folder(start, "seed=5", stage="initial", method=None) == folder(
        start, stage="initial", method=None
    )
    assert "pretrained" not in flat()


def test_samples_of_the_pretrained_model_do_not_depend_on_training():
    start = "pretrained=some/model"
    one, other = (
        flat(start, f"training.num_steps={n}", stage="metrics", method="pretrained") for n in (6, 9)
    )
    assert one == other
    assert flat(start, "seed=1", stage="samples", method="pretrained") != flat(
        start, stage="samples", method="pretrained"
    )


BEST = ("watch.every=2", "watch.keep=best")
START = ("pretrained=some/model",)


@pytest.mark.parametrize(
    ("override", "stage", "method", "given", "expected"),
    [
        ("objective.gamma=0.5", "model", "pnu", (), True),
        ("objective.gamma=0.5", "model", "pu", (), False),
        ("objective.mixing=0.7", "model", "pu_weighted", (), True),
        ("objective.mixing=0.7", "model", "weighted", (), False),
        ("objective.mixing=0.7", "frontier", None, (), True),
        ("objective.gamma=0.5", "base", None, (), False),
        ("objective.reduction=mean", "samples", "pretrained", (), False),
        ("objective.reduction=mean", "samples", "unsupervised", (), True),
        ("sampling.guidance=3", "samples", "pu", (), False),
        ("sampling.guidance=3", "samples", "pu", ("data.num_conditions=10",), True),
        ("training.condition_dropout=0.5", "model", "pu", (), False),
        ("training.condition_dropout=0.5", "model", "pu", ("data.num_conditions=10",), True),
        ("denoiser.layers_per_block=2", "initial", None, (), True),
        ("denoiser.layers_per_block=2", "initial", None, START, False),
        ("denoiser.layers_per_block=2", "base", None, START, True),
        ("seed=5", "initial", None, (), True),
        ("seed=5", "initial", None, START, False),
        ("seed=5", "model", "pu", START, True),
        ("seed=5", "comparable", None, (), False),
        ("watch.num_images=5", "model", "pu", ("watch.every=2",), False),
        ("watch.num_images=5", "model", "pu", ("watch.every=2", "watch.keep=all"), False),
        ("watch.num_images=5", "model", "pu", BEST, True),
        ("watch.num_images=5", "samples", "pretrained", BEST, False),
        ("judge.num_epochs=9", "model", "pu", (), False),
        ("judge.num_epochs=9", "model", "pu", BEST, True),
        ("evaluation.neighborhood=2", "model", "pu", BEST, True),
        ("sampling.num_steps=2", "model", "pu", BEST, True),
        ("sampling.num_steps=2", "initial", None, BEST, False),
        ("class_prior.delta=0.2", "model", "pu", ("beta=upper",), True),
        ("class_prior.delta=0.2", "model", "unsupervised", ("beta=upper",), False),
        ("beta=0.3", "source", None, (), False),
        ("beta=0.3", "model", "supervised", (), False),
    ],
)
def test_an_option_matters_only_where_it_makes_a_difference(
    override, stage, method, given, expected
):
    name = override.partition("=")[0]
    changed = flat(*given, override, stage=stage, method=method)
    assert (changed != flat(*given, stage=stage, method=method)) == expected
    assert (name in changed) == expected


@pytest.mark.parametrize(
    "override",
    [
        "pretrained=some/model",
        "class_prior.encoder=weights.pth",
        "data.num_conditions=10",
        "data.judge_split=paper",
        "judge.architecture=resnet34",
        "data.counts.labeled_normal=1",
    ],
)
def test_an_option_that_came_later_leaves_no_trace_at_its_first_value(override):
    name = override.partition("=")[0]
    stages = [stage for stage in STAGES if name in flat(override, stage=stage)]
    assert stages
    assert not any(name in flat(stage=stage) for stage in STAGES)


def test_an_override_back_to_a_value_without_effect_has_a_folder_of_its_own():
    configured = parameters("data.judge_split=paper", "judge.architecture=resnet34")
    back = parameters("judge.architecture=resnet34")
    names = {run_folder(one, configured, "judge", None) for one in (configured, back)}
    assert names == {"default", "data.judge_split_clean"}
    fine_tuned = parameters("pretrained=some/model")
    assert run_folder(parameters(), fine_tuned, "model", "unsupervised") == "seed_0-pretrained_None"


# --- digests and software -------------------------------------------------------------------------


def test_digest_tells_arrays_apart_by_content_shape_type_and_order():
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    changed = array.copy()
    changed[3, 5] ^= 1
    arrays = [
        (array,),
        (changed,),
        (array.reshape(6, 4),),
        (array.view(np.int8),),
        (array, array),
        (array[:2], array[2:]),
        (array[2:], array[:2]),
    ]
    digests = [digest(*these) for these in arrays]
    assert len(set(digests)) == len(arrays)
    assert all(len(text) == 64 for text in digests)


def test_digest_does_not_depend_on_where_an_array_lies(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (9000, 1, 2, 2), dtype=np.uint8)
    np.save(tmp_path / "images.npy", array)
    assert digest(np.load(tmp_path / "images.npy", mmap_mode="r")) == digest(array)
    assert digest(np.asfortranarray(array)) == digest(array)
    assert digest(np.repeat(array, 2, axis=0)[::2]) == digest(array)


def test_digest_reads_every_slice_of_a_long_array():
    array = np.zeros((9000, 2), dtype=np.uint8)
    for row in (0, 4095, 4096, 8999):
        changed = array.copy()
        changed[row, 1] = 1
        assert digest(changed) != digest(array)


def test_software_names_the_installed_versions_and_the_revision():
    recorded = software.software()
    for package in ("torch", "diffusers", "numpy", "kedro"):
        assert recorded["versions"][package] == importlib.metadata.version(package)
    revision = recorded["git_revision"]
    assert revision is None or len(revision.removesuffix("-dirty")) == 40


def test_software_outside_a_repository_has_no_revision(tmp_path, monkeypatch):
    monkeypatch.setattr(software, "__file__", str(tmp_path / "software.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert software.software()["git_revision"] is None
