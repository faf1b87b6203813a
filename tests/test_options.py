"""Messages of the library name its arguments; a run names the section of parameters.yml too."""

import numpy as np
import pandas as pd
import pytest

from conftest import REPO
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.options import DataOptions
from pu_diffusion_pipeline.options import in_section
from pu_diffusion_pipeline.pipelines.data_engineering.nodes import split_source
from pu_diffusion_pipeline.pipelines.prior_estimation.nodes import estimate_class_prior
from pu_diffusion_pipeline.pipelines.sensitivity.nodes import fit_sensitivity


def parameters(**changes) -> Parameters:
    return open_loader(REPO / "conf", "test", changes).final_parameters()


def image_set(count: int, seed: int) -> ImageSet:
    values = np.random.default_rng(seed).integers(0, 256, (count, 1, 16, 16), np.uint8)
    return ImageSet(values)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("counts: test asks for 9", "data.counts: test asks for 9"),
        ("normal_classes must", "data.normal_classes must"),
        ("data.counts is null", "data.counts is null"),
        ("class prior: copies", "class prior: copies"),
        ("", ""),
    ],
)
def test_a_section_stands_before_its_fields_and_nothing_else(said, shown):
    with pytest.raises(InvalidInput) as caught, in_section("data", DataOptions):
        raise InvalidInput(said)
    assert str(caught.value) == shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": {"test": 10**6}}, r"^data\.counts: test asks for 1000000 images"),
        ({"normal_classes": [77]}, r"^data\.normal_classes: no image of class \[77\]"),
    ],
)
def test_a_split_that_cannot_be_drawn_names_the_parameter(changes, message):
    index = pd.DataFrame({"position": range(20), "class": [*range(10)] * 2, "is_test": False})
    data = parameters(data=changes).data
    with pytest.raises(InvalidInput, match=message):
        split_source(index.assign(sha256="x"), data, seed=0)


def estimate(given: Parameters) -> None:
    estimate_class_prior(image_set(90, 1), image_set(60, 0), given.class_prior, seed=0)


def fit(given: Parameters) -> None:
    index = pd.DataFrame({"position": range(90)})
    options = given.sensitivity.model_copy(update={"beta": 0.1})
    fit_sensitivity(image_set(90, 1), index, image_set(60, 0), options, given.class_prior)


FITS = {"class_prior": estimate, "sensitivity": fit}


@pytest.mark.parametrize("section", FITS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "cnn", "encoder": "a.pth"}, "encoder does not go with model cnn"),
        ({"model": "svm", "encoder": "nowhere.pth"}, "encoder: no file nowhere.pth"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_named_with_its_section(section, changes, message):
    with pytest.raises(InvalidInput, match=rf"^{section}\.{message}"):
        FITS[section](parameters(**{section: changes}))
