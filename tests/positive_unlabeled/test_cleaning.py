"""Laws of cleaning U and of dropping samples, on bright (sensitive) and other images."""

import numpy as np
import pytest

from positive_unlabeled.test_classifier import (
    BETA,
    HIDDEN,
    TRUTH,
    bright_images,
    fit,
    grey_images,
)
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.cleaning import (
    clean,
    in_order_of,
    least_sensitive,
    num_to_draw,
)

NUM = len(TRUTH)


@pytest.fixture(scope="module")
def classifier():
    return fit()


def test_cleaning_leaves_out_what_is_probable_and_the_rest_in_order(classifier):
    cleaned = clean(classifier, np.arange(NUM), 0.5)
    probable = classifier.unlabeled_probabilities >= 0.5
    assert cleaned.rows.tolist() == np.flatnonzero(~probable).tolist()
    assert TRUTH[cleaned.rows].mean() < 0.5 * BETA < BETA == TRUTH.mean()


def test_the_share_that_is_left_is_the_mean_probability_of_what_is_kept(classifier):
    cleaned = clean(classifier, np.arange(NUM), 0.5)
    kept = classifier.unlabeled_probabilities[cleaned.rows]
    assert cleaned.beta == kept.mean() < classifier.beta
    assert cleaned.record["beta_after"] == cleaned.beta
    assert cleaned.record["num_kept"] == len(cleaned.rows) < cleaned.record["num_images"] == NUM


def test_the_classifier_knows_u_by_position_in_whatever_order_it_lies(classifier):
    order = np.random.default_rng(0).permutation(NUM)
    plain = clean(classifier, np.arange(NUM), 0.5)
    shuffled = clean(classifier, order, 0.5)
    assert sorted(order[shuffled.rows]) == sorted(plain.rows)


def test_probabilities_come_in_the_order_of_u(classifier):
    order = np.random.default_rng(0).permutation(NUM)
    assert (in_order_of(classifier, order) == classifier.unlabeled_probabilities[order]).all()


def test_at_probability_1_nothing_is_left_out_but_what_is_certain(classifier):
    cleaned = clean(classifier, np.arange(NUM), 1.0)
    assert len(cleaned.rows) == (classifier.unlabeled_probabilities < 1).sum()


@pytest.mark.parametrize(
    ("count", "probability", "message"),
    [
        (NUM, 1e-12, "cleaning.probability 1e-12 leaves .* expected a value at which more"),
        (NUM - 1, 0.5, f"fitted on {NUM} images of U, but there are {NUM - 1}"),
    ],
)
def test_cleaning_refuses_to_leave_nothing_and_another_u(classifier, count, probability, message):
    with pytest.raises(InvalidInput, match=message):
        clean(classifier, np.arange(count), probability)


def test_the_samples_that_are_kept_are_the_least_suspicious_ones_in_order(classifier):
    samples = np.concatenate([bright_images(HIDDEN, 7), grey_images(60, 8)])
    kept = least_sensitive(classifier, samples, 60)
    assert (np.diff(kept) > 0).all()
    assert (kept >= HIDDEN).mean() > 60 / 90
    probabilities = classifier.probabilities(samples)
    dropped = np.setdiff1d(np.arange(90), kept)
    assert probabilities[kept].max() <= probabilities[dropped].min()


@pytest.mark.parametrize(
    ("num", "share", "drawn"), [(1800, 0.1, 2000), (24, 0.1, 27), (7, 0.5, 14)]
)
def test_enough_are_drawn_for_a_share_to_be_dropped(num, share, drawn):
    assert num_to_draw(num, share) == drawn
    assert drawn * (1 - share) >= num - 1e-6
