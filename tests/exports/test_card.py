"""The model card: its numbers are those of the records, and it says what is not known."""

import json
import re
from dataclasses import replace

import pytest
import yaml

from conftest import REPO
from exports.conftest import OUTPUT
from exports.test_folder import conditional_run
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.exports.card import CardOptions, Grid, render_card
from pu_diffusion_pipeline.exports.finished_run import FinishedRun

DIGITS = r"[\d.]+(?:e-?\d+)?"


@pytest.fixture
def card(exported) -> str:
    return (exported / "README.md").read_text()


@pytest.fixture
def metrics(finished_run) -> dict:
    return json.loads((finished_run / OUTPUT / "metrics.json").read_text())


def front(card: str) -> dict:
    """The YAML at the top."""
    return yaml.safe_load(card.split("---\n")[1])


def numbers(card: str, title: str) -> list[float]:
    """The numbers in a row of a table."""
    (row,) = re.findall(rf"^\| {re.escape(title)} \| (.+) \|$", card, re.MULTILINE)
    return [float(text) for text in re.findall(DIGITS, row)]


def changed(**values: object) -> FinishedRun:
    """An unevaluated run with other parameters."""
    run = conditional_run()
    nested = {
        section: getattr(run.parameters, section).model_copy(update=value)
        if isinstance(value, dict)
        else value
        for section, value in values.items()
    }
    return replace(run, parameters=run.parameters.model_copy(update=nested))


def text(run: FinishedRun, *, license_name: str | None = None, grid: Grid | None = None) -> str:
    return render_card(run, "DDIMPipeline", grid, CardOptions("model", license_name))


def test_the_numbers_are_those_of_the_metrics(card, metrics):
    rate, fidelity = metrics["non_sensitive_rate"], metrics["fidelity"]
    near = pytest.approx
    assert numbers(card, "non-sensitive rate") == near(
        [rate["value"], rate["low"], rate["high"]], abs=5e-4
    )
    assert numbers(card, "corrected for the judge's errors") == near(
        [rate["corrected"], rate["corrected_low"], rate["corrected_high"]], abs=5e-4
    )
    assert numbers(card, "FD ↓") == near([fidelity["frechet_distance"]], abs=5e-3)
    assert numbers(card, "KID ↓") == near([fidelity["kernel_distance"]], rel=5e-3)
    for name in ("precision", "recall"):
        assert numbers(card, name) == near([fidelity[name]], abs=5e-4)
    assert f"{rate['num_normal']} of {rate['num_samples']}" in card
    words = " ".join(card.split())
    assert f"accuracy is {rate['judge']['accuracy']:.4f}" in words
    assert fidelity["extractor"] in words


def test_the_card_counts_the_images_and_says_how_many_samples_are_left_out(card, metrics):
    left_out = (
        metrics["non_sensitive_rate"]["num_samples"] - (metrics["non_sensitive_rate"]["num_normal"])
    )
    assert f"{left_out} of 24 are left out" in card
    assert numbers(card, "U, unlabeled")[:3] == [110, 100, 10]
    assert numbers(card, "S, labeled sensitive") == [24]
    assert numbers(card, "beta, the share of sensitive images in U") == [0.1]
    assert "0.1 (given)" in card


def test_the_front_matter_is_what_the_hub_reads(card):
    assert front(card)["library_name"] == "diffusers"
    assert front(card)["license"] == "apache-2.0"
    assert front(card)["pipeline_tag"] == "unconditional-image-generation"
    assert {"diffusers", "pu"} <= set(front(card)["tags"])
    assert 'from_pretrained("digits")' in card


@pytest.mark.parametrize(
    ("given", "fields", "words"),
    [
        (None, {"license": "unknown"}, "unknown: set it before you publish"),
        ("Apache-2.0", {"license": "apache-2.0"}, "Apache-2.0"),
        ("openrail++", {"license": "openrail++"}, "openrail++"),
        ("Proprietary", {"license": "other", "license_name": "Proprietary"}, "Proprietary"),
        (
            "Ours: ask us",
            {"license": "other", "license_name": "Ours: ask us"},
            "Ours: ask us",
        ),
    ],
)
def test_licences(given, fields, words):
    card = text(conditional_run(), license_name=given)
    assert fields.items() <= front(card).items()
    assert words in card.partition("## Licence")[2]


def test_a_run_without_metrics_is_said_not_to_be_evaluated():
    card = text(conditional_run())
    assert "this model was not evaluated" in card
    assert "samples.png" not in card
    assert "non-sensitive rate* is" not in card


def test_the_card_of_a_conditional_model_says_how_to_ask_for_a_class():
    card = text(conditional_run())
    assert "class_labels=[0, 1]" in card
    assert "no consistency model" in " ".join(card.split())
    assert "pipeline_tag" not in front(card)


@pytest.mark.parametrize(
    ("values", "beta", "words"),
    [
        (
            {"beta": "estimated"},
            {"value": 0.0876, "source": "SOURCE"},
            "0.0876 (estimated; SOURCE)",
        ),
        ({"beta": "upper"}, {"value": 0.2, "source": "SOURCE"}, "0.2 (upper bound"),
        ({"beta": 0.1}, None, "not used by this method"),
    ],
)
def test_the_card_says_where_beta_came_from(values, beta, words):
    run = changed(**values)
    assert words in text(replace(run, manifest={**run.manifest, "beta": beta}))


def test_a_base_model_is_named_if_it_is_the_hubs_and_never_by_its_path():
    run = changed(pretrained="/secret/base")
    assert "a model in a local folder" in text(run)
    assert "secret" not in text(run)
    assert "base_model" not in front(text(run))
    run = replace(run, hub_base="google/ddpm-cifar10-32")
    assert "fine-tuned from google/ddpm-cifar10-32" in text(run)
    assert front(text(run))["base_model"] == "google/ddpm-cifar10-32"


def test_paths_among_the_parameters_stay_out_of_the_card():
    run = changed(
        data={"root": "/secret/data"},
        judge={"weights": "/secret/judge"},
        class_prior={"encoder": "/secret/encoder"},
        evaluation={"inception_weights": "/secret/inception"},
    )
    assert "secret" not in text(run)


def test_weights_that_the_judge_chose_are_said_to_be(metrics):
    words = "The judge chose these weights"
    best = replace(changed(watch={"keep": "best"}), metrics=metrics)
    assert words in text(best)
    assert words not in text(replace(changed(), metrics=metrics))


@pytest.mark.parametrize(
    ("sampling", "grid", "is_the_same"),
    [
        ({"sampler": "sde_dpm_solver++", "karras_sigmas": True}, Grid(5, 1), True),
        ({"sampler": "sde_dpm_solver++", "karras_sigmas": True}, None, False),
        ({"sampler": "dpm_solver++", "karras_sigmas": True}, Grid(5, 1), False),
        ({"sampler": "ddim", "karras_sigmas": False}, Grid(5, 1), False),
    ],
)
def test_the_card_says_with_what_the_samples_were_drawn(metrics, sampling, grid, is_the_same):
    run = changed(data={"num_conditions": None}, sampling=sampling)
    card = text(replace(run, metrics=metrics), grid=grid)
    assert ("The samples below were drawn with another solver" in card) == is_the_same
    assert ("Another solver is better with fewer steps" in card) != is_the_same
    assert ("what it draws differs" in card) == (sampling["sampler"] != "ddim")


@pytest.mark.parametrize("split", ["clean", "paper"])
def test_the_card_says_what_the_judge_has_seen(metrics, split):
    card = text(replace(changed(data={"judge_split": split}), metrics=metrics))
    assert ("It saw none of them in training" in card) == (split == "clean")
    assert ("these figures are too good" in card) == (split == "paper")


@pytest.mark.parametrize("method", [name for name, facts in METHODS.items() if facts.trains])
def test_every_method_has_a_card(method):
    card = text(replace(conditional_run(), method=method))
    assert ("This is a reference model" in card) == METHODS[method].is_reference
    assert ("| left out of U |" in card) == ("cleaning" in METHODS[method].sections)
    assert ("(given)" in card) == METHODS[method].uses_beta
    assert ("| S, labeled sensitive |" in card) == ("labeled_sensitive" in METHODS[method].sets)


def test_a_picture_without_a_normal_sample_is_not_named():
    card = text(conditional_run(), grid=Grid(shown=0, left_out=24))
    assert "all of the first 24 samples for sensitive" in card
    assert "samples.png" not in card


def test_the_card_cites_the_paper_as_the_repository_does(card):
    paper = yaml.safe_load((REPO / "CITATION.cff").read_text())["preferred-citation"]
    assert paper["title"] in card
    assert paper["url"] in card
    assert paper["identifiers"][0]["value"] in card
    assert all(f"{one['family-names']}, {one['given-names']}" in card for one in paper["authors"])
