"""Laws of the map from scores to P(sensitive | x in U)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.stats import norm

from pu_diffusion_pipeline.positive_unlabeled.calibration import (
    _loss,
    calibrate,
    calibration_error,
    calibration_table,
)
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores

quick = settings(max_examples=30, deadline=None, derandomize=True, database=None)
grades = st.integers(-6, 6)  # few values, so that there are ties


def gaussian_scores(num_labeled: int, num_unlabeled: int, beta: float, seed: int = 0) -> Scores:
    """Scores of sensitive images from N(3, 1), of normal ones from N(0, 1)."""
    rng = np.random.default_rng(seed)
    means = 3 * (rng.random(num_unlabeled) < beta)
    return Scores(rng.normal(3, 1, num_labeled), rng.normal(means, 1))


@quick
@given(
    st.lists(grades, min_size=20, max_size=60),
    st.lists(grades, min_size=2, max_size=90),
    st.sampled_from([0.001, 0.0909, 0.5, 0.99]),
)
def test_the_mean_over_u_is_beta_and_a_larger_score_is_no_less_probable(labeled, unlabeled, beta):
    scores = Scores(np.array(labeled, dtype=float), np.array(unlabeled, dtype=float))
    calibration = calibrate(scores, beta)
    assert calibration(scores.unlabeled).mean() == pytest.approx(beta, abs=1e-9)
    probabilities = calibration(np.linspace(-10, 10, 101))
    assert (np.diff(probabilities) >= 0).all()
    assert (probabilities > 0).all()
    assert (probabilities <= 1).all()


@pytest.mark.parametrize("beta", [0.05, 0.3])
def test_the_posterior_of_gaussians_is_found(beta):
    scores = gaussian_scores(4_000, 20_000, beta)
    calibration = calibrate(scores, beta)
    sensitive = beta * norm.pdf(scores.unlabeled, 3)
    exact = sensitive / (sensitive + (1 - beta) * norm.pdf(scores.unlabeled))
    assert np.abs(calibration(scores.unlabeled) - exact).mean() < 0.01


def test_units_of_the_scores_do_not_matter():
    scores = gaussian_scores(200, 2_000, 0.1)
    other = Scores(*(5 * part - 40 for part in scores))
    np.testing.assert_allclose(
        calibrate(other, 0.1)(other.unlabeled),
        calibrate(scores, 0.1)(scores.unlabeled),
        atol=1e-3,
    )


def test_images_with_other_scores_have_other_probabilities():
    scores = gaussian_scores(200, 500, 0.1)
    assert len(np.unique(calibrate(scores, 0.1)(scores.unlabeled))) == 500


def test_without_any_information_every_image_has_the_probability_beta():
    calibration = calibrate(Scores(np.zeros(30), np.zeros(70)), 0.2)
    np.testing.assert_allclose(calibration(np.array([-1.0, 0.0, 5.0])), 0.2)


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    steps = [rng.random((count, 3)) for count in (7, 11)]
    weights = np.array([-1.0, 0.5, 2.0, 0.1])
    wrong = check_grad(
        lambda point: _loss(point, *steps, 0.1)[0],
        lambda point: _loss(point, *steps, 0.1)[1],
        weights,
    )
    assert wrong < 1e-6


def test_the_table_and_its_error_on_hand_worked_numbers():
    probabilities = np.array([0.05, 0.15, 0.1, 0.9, 1.0])
    table = calibration_table(probabilities, np.array([0, 1, 0, 1, 1], dtype=bool), 2)
    assert [row["num_images"] for row in table] == [3, 2]
    assert table[0]["probability"] == pytest.approx(0.1)
    assert [row["share"] for row in table] == [pytest.approx(1 / 3), 1.0]
    assert [(row["from"], row["to"]) for row in table] == [(0.0, 0.5), (0.5, 1.0)]
    assert calibration_error(table) == pytest.approx(3 / 5 * (1 / 3 - 0.1) + 2 / 5 * 0.05)
