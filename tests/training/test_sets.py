"""The training sets as the loop takes them."""

import numpy as np
import pandas as pd
import pytest

from pu_diffusion_pipeline.digests import digest
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.training.sets import TrainingSets
from tiny_training import images, model, normal_images, sets


def test_a_set_that_is_not_there_is_an_empty_array_of_images_and_of_conditions():
    pair = sets(conditions=(np.zeros(40, int), np.ones(12, int)))
    assert [part.shape for part in pair.images] == [
        (40, 1, 16, 16),
        (12, 1, 16, 16),
        (0, 1, 16, 16),
    ]
    assert [part.shape for part in pair.conditions] == [(40,), (12,), (0,)]


def test_images_without_conditions_are_unconditional():
    assert sets().conditions is None


def test_conditions_of_some_sets_only_are_refused():
    unlabeled, sensitive = images()
    mixed = TrainingSets(ImageSet(unlabeled, conditions=np.zeros(40, int)), ImageSet(sensitive))
    with pytest.raises(ValueError, match="either all training sets have conditions or none"):
        _ = mixed.conditions


def test_the_digest_is_of_the_sets_that_are_there_then_their_conditions_then_the_weights():
    unlabeled, sensitive = images()
    unet = model().unet
    weights = [value.numpy() for _, value in sorted(unet.state_dict().items())]
    given = (np.zeros(40, int), np.ones(12, int))
    assert sets().digest(unet) == digest(unlabeled, sensitive, normal_images(), *weights)
    conditional = sets(conditions=given).digest(unet)
    assert conditional == digest(unlabeled, sensitive, *given, *weights)


def sensitive_with(probability: float) -> pd.DataFrame:
    """Of each image of U."""
    return pd.DataFrame({"probability": np.full(40, probability)})


def test_s_is_sensitive_for_certain_and_labeled_normal_images_are_not():
    assert sets().weighed(None).probabilities is None
    of_unlabeled, of_sensitive, of_normal = sets().weighed(sensitive_with(0.3)).probabilities
    assert of_unlabeled.tolist() == [0.3] * 40
    assert of_sensitive.tolist() == [1.0] * 12
    assert of_normal.tolist() == [0.0] * 4


def test_other_images_conditions_probabilities_or_weights_have_another_digest():
    unlabeled, sensitive = images()
    unet = model().unet
    digests = {
        sets().digest(unet),
        sets((unlabeled, 255 - sensitive)).digest(unet),
        sets(conditions=(np.zeros(40, int), np.ones(12, int))).digest(unet),
        sets().digest(model(seed=1).unet),
        sets().weighed(sensitive_with(0.0)).digest(unet),
        sets().weighed(sensitive_with(1.0)).digest(unet),
    }
    assert len(digests) == 6
