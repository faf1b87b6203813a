import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pu_diffusion_pipeline.positive_unlabeled.risk import (
    CORRECTIONS,
    SATURATED,
    absolute,
    empirical_risks,
    masked_mean,
    non_negative,
    normal_risk,
    saturated_share,
    sensitive_cross_entropy,
    unbiased,
    weighted_risks,
)

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
errors = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8)
copies = st.integers(1, 4)


def batch(unlabeled, labeled_sensitive, dtype=torch.float64):
    """Errors of U, then of S, as a leaf that gathers gradients, and which of them are of S."""
    values = torch.tensor([*unlabeled, *labeled_sensitive], dtype=dtype, requires_grad=True)
    return values, torch.arange(len(values)) >= len(unlabeled)


def exact_mixture(sensitive, normal, copies_of_sensitive, copies_of_normal, seed):
    """U with exactly the share beta of S's errors, in any order, and that beta."""
    unlabeled = sensitive * copies_of_sensitive + normal * copies_of_normal
    beta = len(sensitive) * copies_of_sensitive / len(unlabeled)
    return np.random.default_rng(seed).permutation(unlabeled).tolist(), beta


def reference_cross_entropy(error: float) -> float:
    with localcontext() as context:
        context.prec = 120
        return float(-(1 - (-Decimal(error)).exp()).ln())


# --- laws -----------------------------------------------------------------------------------------


@quick
@given(errors, errors, copies, copies, st.integers(0, 9))
def test_normal_risk_equals_the_oracle_risk_on_an_exact_mixture(
    sensitive, normal, of_sensitive, of_normal, seed
):
    unlabeled, beta = exact_mixture(sensitive, normal, of_sensitive, of_normal, seed)
    risks = empirical_risks(*batch(unlabeled, sensitive))
    oracle = (1 - beta) * np.mean(normal)
    assert float(normal_risk(risks, beta).detach()) == pytest.approx(oracle, rel=1e-9, abs=1e-9)


@quick
@given(errors, errors, copies, copies, st.lists(st.floats(0, 10), min_size=16, max_size=16))
def test_the_mixture_law_holds_for_any_weight_of_the_timestep(
    sensitive, normal, of_sensitive, of_normal, weights
):
    """E_t[w(t) l] is a mixture wherever each l_t is one, with the same beta for every t."""
    unlabeled, beta = exact_mixture(sensitive, normal, of_sensitive, of_normal, seed=0)
    of_timesteps = torch.tensor(weights, dtype=torch.float64)

    def weighted(part):
        """Errors at 16 timesteps, each another function of the image, weighed and averaged."""
        powers = torch.linspace(0.2, 1.2, 16, dtype=torch.float64)
        of_images = torch.tensor(part, dtype=torch.float64)[:, None] ** powers
        return (of_images * of_timesteps).mean(1)

    values = torch.cat([weighted(unlabeled), weighted(sensitive)])
    risks = empirical_risks(values, torch.arange(len(values)) >= len(unlabeled))
    oracle = (1 - beta) * float(weighted(normal).mean())
    assert float(normal_risk(risks, beta)) == pytest.approx(oracle, rel=1e-9, abs=1e-9)


@quick
@given(errors, errors, copies, copies, st.floats(0, 1))
def test_weighted_risk_with_the_true_probabilities_equals_the_oracle_risk(
    sensitive, normal, of_sensitive, of_normal, mixing
):
    """For every mixing: the errors of an image tell what it is, and so does r."""
    repeated = [*sensitive * of_sensitive, *normal * of_normal]
    beta = len(sensitive) * of_sensitive / len(repeated)
    r = torch.tensor([float(error in sensitive) for error in repeated], dtype=torch.float64)
    shared = set(sensitive) & set(normal)
    for place, error in enumerate(repeated):
        if error in shared:  # as often sensitive as its copies are
            number = sensitive.count(error) * of_sensitive
            r[place] = number / (number + normal.count(error) * of_normal)
    values, labels = batch(repeated, sensitive)
    probabilities = torch.cat([r, torch.ones(len(sensitive), dtype=torch.float64)])
    risks = weighted_risks(values, labels, probabilities, mixing)
    oracle = (1 - beta) * np.mean(normal)
    assert float(normal_risk(risks, beta).detach()) == pytest.approx(oracle, rel=1e-9, abs=1e-9)


@quick
@given(errors, errors, copies, copies, st.sampled_from(sorted(CORRECTIONS)))
def test_pu_risk_equals_the_oracle_risk_on_an_exact_mixture(
    sensitive, normal, of_sensitive, of_normal, correction
):
    unlabeled, beta = exact_mixture(sensitive, normal, of_sensitive, of_normal, seed=0)
    risk = CORRECTIONS[correction](empirical_risks(*batch(unlabeled, sensitive)), beta)
    # Eq. 15, with the normal images that PU learning does not see.
    oracle = beta * np.mean([reference_cross_entropy(error) for error in sensitive]) + (
        1 - beta
    ) * np.mean(normal)
    assert float(risk.detach()) == pytest.approx(oracle, rel=1e-9, abs=1e-9)


@quick
@given(errors, errors, copies, copies)
@example([math.log(2)], [1.0], 1, 1)  # where the two branches of the cross-entropy meet
def test_pu_gradient_equals_the_oracle_gradient_on_an_exact_mixture(
    sensitive, normal, of_sensitive, of_normal
):
    unlabeled, beta = exact_mixture(sensitive, normal, of_sensitive, of_normal, seed=0)
    scale = torch.tensor(
        1.0, dtype=torch.float64, requires_grad=True
    )  # a model with one parameter: l = scale * error
    values, is_sensitive = batch(unlabeled, sensitive)
    non_negative(empirical_risks(scale * values.detach(), is_sensitive), beta).backward()
    slopes = [-error / math.expm1(error) if error < 700 else 0.0 for error in sensitive]
    oracle = beta * np.mean(slopes) + (1 - beta) * np.mean(normal)
    assert float(scale.grad) == pytest.approx(oracle, rel=1e-8, abs=1e-8)


@quick
@given(errors, errors, st.floats(0, 0.99))
def test_corrections_agree_while_the_normal_risk_is_not_negative_and_absolute_never_goes_below_zero(
    u, s, beta
):
    risks = empirical_risks(*batch(u, s))
    plain, magnitude, algorithm_1 = (
        float(f(risks, beta).detach()) for f in (unbiased, absolute, non_negative)
    )
    normal = float(normal_risk(risks, beta).detach())
    sensitive = beta * float(risks.sensitive_positive.detach())
    assert magnitude == pytest.approx(sensitive + abs(normal))
    assert plain == pytest.approx(sensitive + normal)
    assert algorithm_1 == pytest.approx(sensitive + normal if normal >= 0 else -normal)
    assert magnitude >= 0


@quick
@given(errors, errors)
def test_order_of_a_batch_does_not_matter(u, s):
    values, is_sensitive = batch(u, s)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
    for here, there in zip(
        empirical_risks(values, is_sensitive),
        empirical_risks(values[order], is_sensitive[order]),
        strict=True,
    ):
        assert float(here.detach()) == pytest.approx(float(there.detach()), rel=1e-12)


def test_mixture_law_holds_in_the_float32_of_training():
    rng = np.random.default_rng(0)
    sensitive, normal = (rng.uniform(500, 3000, 100).tolist() for _ in range(2))
    unlabeled, beta = exact_mixture(sensitive, normal, 1, 10, seed=0)
    assert beta == pytest.approx(1 / 11)
    risks = empirical_risks(*batch(unlabeled, sensitive, torch.float32))
    assert float(normal_risk(risks, beta).detach()) == pytest.approx(
        (1 - beta) * np.mean(normal), rel=1e-5
    )


# --- Algorithm 1 by hand --------------------------------------------------------------------------

U_EASY, S_EASY = (4.0, 2.0), (1.0, 3.0)  # R_U- = 3, R_S- = 2
U_HARD, S_HARD = (0.5, 0.7, 0.3), (4.0, 6.0)  # R_U- = 0.5, R_S- = 5
BETA = 0.5


def slope(error: float) -> float:
    """d l_BCE(x, 1) / d l."""
    return -1 / math.expm1(error)


def value_and_gradient(correction, unlabeled, labeled_sensitive):
    values, is_sensitive = batch(unlabeled, labeled_sensitive)
    risk = correction(empirical_risks(values, is_sensitive), BETA)
    risk.backward()
    return float(risk.detach()), values.grad.tolist()


def test_empirical_risks_are_the_means_of_eq_18():
    risks = empirical_risks(*batch(U_EASY, S_EASY))
    assert float(risks.unlabeled_negative.detach()) == 3
    assert float(risks.sensitive_negative.detach()) == 2
    expected = -(math.log(1 - math.exp(-1)) + math.log(1 - math.exp(-3))) / 2
    assert float(risks.sensitive_positive.detach()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
def test_step_while_the_normal_risk_is_positive_is_on_the_whole_risk(correction):
    value, gradient = value_and_gradient(correction, U_EASY, S_EASY)
    sensitive_positive = -(math.log(1 - math.exp(-1)) + math.log(1 - math.exp(-3))) / 2
    assert value == pytest.approx(BETA * sensitive_positive + 3 - BETA * 2)
    assert gradient == pytest.approx(
        [1 / 2, 1 / 2, BETA / 2 * slope(1) - BETA / 2, BETA / 2 * slope(3) - BETA / 2]
    )


def test_step_of_algorithm_1_while_the_normal_risk_is_negative_is_on_that_alone_upwards():
    value, gradient = value_and_gradient(non_negative, U_HARD, S_HARD)
    assert value == pytest.approx(-(0.5 - BETA * 5))
    assert gradient == pytest.approx([-1 / 3, -1 / 3, -1 / 3, BETA / 2, BETA / 2])


def test_absolute_turns_a_negative_normal_risk_round_and_keeps_the_sensitive_term():
    value, gradient = value_and_gradient(absolute, U_HARD, S_HARD)
    sensitive_positive = -(math.log(1 - math.exp(-4)) + math.log(1 - math.exp(-6))) / 2
    assert value == pytest.approx(BETA * sensitive_positive + 2)
    turned = [BETA / 2 * slope(error) + BETA / 2 for error in S_HARD]
    assert gradient == pytest.approx([-1 / 3, -1 / 3, -1 / 3, *turned])


def test_no_correction_steps_on_the_whole_risk_also_while_it_is_negative():
    value, gradient = value_and_gradient(unbiased, U_HARD, S_HARD)
    sensitive_positive = -(math.log(1 - math.exp(-4)) + math.log(1 - math.exp(-6))) / 2
    assert value == pytest.approx(BETA * sensitive_positive - 2)
    plain = [BETA / 2 * slope(error) - BETA / 2 for error in S_HARD]
    assert gradient == pytest.approx([1 / 3, 1 / 3, 1 / 3, *plain])


@quick
@given(
    st.lists(st.floats(0.1, 30), min_size=1, max_size=6),
    st.lists(st.floats(0.1, 30), min_size=1, max_size=6),
)
def test_gradient_is_that_of_the_branch_which_algorithm_1_writes(unlabeled, labeled_sensitive):
    values, is_sensitive = batch(unlabeled, labeled_sensitive)
    non_negative(empirical_risks(values, is_sensitive), BETA).backward()

    literal, _ = batch(unlabeled, labeled_sensitive)
    of_unlabeled, of_sensitive = literal[: len(unlabeled)], literal[len(unlabeled) :]
    positive = -torch.log(1 - torch.exp(-of_sensitive)).mean()
    normal = of_unlabeled.mean() - BETA * of_sensitive.mean()
    (BETA * positive + normal if normal >= 0 else -normal).backward()
    np.testing.assert_allclose(values.grad, literal.grad, rtol=1e-9)


def test_a_normal_risk_of_zero_belongs_to_the_positive_branch():
    value, gradient = value_and_gradient(non_negative, (1.0,), (2.0,))
    assert value == pytest.approx(-BETA * math.log(1 - math.exp(-2)))
    assert gradient == pytest.approx([1.0, BETA * slope(2) - BETA])


def test_names_of_the_corrections_are_those_of_the_parameter():
    known = {"non_negative": non_negative, "absolute": absolute, "none": unbiased}
    assert known == CORRECTIONS


# --- -log(1 - exp(-l)) ----------------------------------------------------------------------------


def cross_entropy_and_slope(error: float) -> tuple[float, float]:
    values = torch.tensor([error], dtype=torch.float32, requires_grad=True)
    result = sensitive_cross_entropy(values)
    result.sum().backward()
    return float(result.detach()), float(values.grad)


@pytest.mark.parametrize(
    "error",
    [1e-37, 1e-20, 1e-7, 1e-3, 0.1, 0.69, math.log(2), 0.7, 1.0, 3.0, 16.0, 20.0, 60.0, 80.0],
)
def test_float32_value_and_gradient_match_the_exact_ones(error):
    value, gradient = cross_entropy_and_slope(error)
    exact = float(np.float32(error))
    assert value == pytest.approx(reference_cross_entropy(exact), rel=2e-6)
    assert gradient == pytest.approx(-1 / math.expm1(exact), rel=2e-6)


def test_small_errors_cost_about_minus_their_logarithm():
    for error in (1e-30, 1e-10, 1e-5):
        assert cross_entropy_and_slope(error)[0] == pytest.approx(-math.log(error), rel=1e-5)


@pytest.mark.parametrize("error", [200.0, 1e4, 1e30, math.inf])
def test_large_errors_cost_nothing_and_pull_at_nothing(error):
    assert cross_entropy_and_slope(error) == (0.0, 0.0)


def test_what_counts_as_saturated_has_nothing_left_to_pull_with():
    value, gradient = cross_entropy_and_slope(SATURATED)
    assert 0 < value < 3e-9
    assert -3e-9 < gradient < 0
    values, is_sensitive = batch((SATURATED + 1,), (SATURATED + 1, SATURATED - 1, SATURATED, 900.0))
    assert float(saturated_share(values, is_sensitive)) == 0.5


def test_no_error_costs_a_finite_amount_and_has_a_finite_gradient():
    value, gradient = cross_entropy_and_slope(0.0)
    assert value == pytest.approx(-math.log(torch.finfo(torch.float32).tiny), rel=1e-6)
    assert gradient == 0


@quick
@given(st.floats(0, 1e4, width=32), st.floats(0, 1e4, width=32))
def test_cross_entropy_is_never_negative_and_falls_with_the_error(one, other):
    near, far = sorted((one, other))
    cost_near, slope_near = cross_entropy_and_slope(near)
    cost_far, _ = cross_entropy_and_slope(far)
    assert cost_near >= cost_far >= 0
    assert math.isfinite(cost_near)
    assert math.isfinite(slope_near)
    assert slope_near <= 0


def test_every_correction_has_finite_gradients_at_the_extremes():
    for correction in CORRECTIONS.values():
        values, is_sensitive = batch(
            (0.0, 1e-38, 5000.0), (0.0, 1e-38, 1e-3, 5000.0), torch.float32
        )
        correction(empirical_risks(values, is_sensitive), 0.1).backward()
        assert torch.isfinite(values.grad).all(), correction.__name__
        assert values.grad[3:].tolist() != [0.0] * 4


# --- batches without S or without U ---------------------------------------------------------------


def test_a_batch_without_s_has_only_the_risk_of_u():
    values, is_sensitive = batch((4.0, 2.0), ())
    risks = empirical_risks(values, is_sensitive)
    assert [float(risk.detach()) for risk in risks] == [0.0, 3.0, 0.0]
    for correction in CORRECTIONS.values():
        values.grad = None
        risk = correction(empirical_risks(values, is_sensitive), 0.1)
        risk.backward()
        assert float(risk.detach()) == 3
        assert values.grad.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("correction", [non_negative, absolute, unbiased])
def test_a_batch_without_u_never_lowers_an_error_on_s(correction):
    values, is_sensitive = batch((), (1.0, 3.0))
    risks = empirical_risks(values, is_sensitive)
    assert float(risks.unlabeled_negative.detach()) == 0
    assert float(risks.sensitive_negative.detach()) == 0
    correction(risks, 0.1).backward()
    assert (values.grad < 0).all()  # a step raises them


def test_mean_over_nothing_is_zero_with_zero_gradient():
    values = torch.tensor([5.0, 7.0], requires_grad=True)
    mean = masked_mean(values, torch.tensor([False, False]))
    mean.backward()
    assert float(mean.detach()) == 0
    assert values.grad.tolist() == [0, 0]
