import math

import pytest
import torch

from pu_diffusion_pipeline.diffusion.methods import DEFAULT_METHODS, METHODS
from pu_diffusion_pipeline.diffusion.objectives import (
    PositiveUnlabeled,
    Supervised,
    Unsupervised,
    Weighted,
    WeightedPositiveUnlabeled,
    build_objective,
)
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS

# exp(-l) is 1/4 and 2/3 for the two images of S.
UNLABELED, SENSITIVE = [1.0, 3.0], [math.log(4), math.log(3 / 2)]
SENSITIVE_POSITIVE = (math.log(4 / 3) + math.log(3)) / 2
SENSITIVE_NEGATIVE = (math.log(4) + math.log(3 / 2)) / 2


def evaluate(objective, unlabeled=UNLABELED, sensitive=SENSITIVE, probabilities=None):
    """Value, gradient on U, gradient on S, named risks. S stands first: order must not matter."""
    values = torch.tensor([*sensitive, *unlabeled], dtype=torch.float64, requires_grad=True)
    if probabilities is not None:
        probabilities = torch.tensor([*[1.0] * len(sensitive), *probabilities])
    loss, risks = objective(values, torch.arange(len(values)) < len(sensitive), probabilities)
    loss.backward()
    gradient = values.grad.tolist()
    named = {name: float(risk.detach()) for name, risk in risks.items()}
    return float(loss.detach()), gradient[len(sensitive) :], gradient[: len(sensitive)], named


def test_unsupervised_is_the_mean_error_of_u_and_ignores_s():
    loss, on_unlabeled, on_sensitive, risks = evaluate(Unsupervised())
    assert loss == 2
    assert on_unlabeled == [0.5, 0.5]
    assert on_sensitive == [0, 0]
    assert risks == {"unlabeled_negative": 2}
    assert evaluate(Unsupervised(), sensitive=[1e4, 1e-9])[0] == 2


def test_supervised_takes_u_for_normal_and_s_for_sensitive():
    loss, on_unlabeled, on_sensitive, risks = evaluate(Supervised())
    assert loss == pytest.approx(2 + SENSITIVE_POSITIVE)
    assert on_unlabeled == [0.5, 0.5]
    # d l_BCE / d l = -1 / (e^l - 1): -1/3 and -2, halved by the mean
    assert on_sensitive == pytest.approx([-1 / 6, -1])
    assert risks["sensitive_positive"] == pytest.approx(SENSITIVE_POSITIVE)
    assert risks["sensitive_negative"] == pytest.approx(SENSITIVE_NEGATIVE)


def test_pu_subtracts_the_sensitive_part_of_u():
    loss, on_unlabeled, on_sensitive, risks = evaluate(PositiveUnlabeled(0.25))
    normal = 2 - 0.25 * SENSITIVE_NEGATIVE
    assert loss == pytest.approx(0.25 * SENSITIVE_POSITIVE + normal)
    assert on_unlabeled == [0.5, 0.5]
    assert on_sensitive == pytest.approx([0.25 * (-1 / 6 - 1 / 2), 0.25 * (-1 - 1 / 2)])
    assert risks == pytest.approx(
        {
            "sensitive_positive": SENSITIVE_POSITIVE,
            "unlabeled_negative": 2,
            "sensitive_negative": SENSITIVE_NEGATIVE,
            "normal": normal,
            "correction_active": 0,
            "saturated_share": 0,
        }
    )


@pytest.mark.parametrize(
    ("correction", "loss", "on_unlabeled"),
    [
        ("non_negative", 1.5, -0.5),
        ("absolute", 1.5 - 0.5 * math.log1p(-math.exp(-5)), -0.5),
        ("none", -1.5 - 0.5 * math.log1p(-math.exp(-5)), 0.5),
    ],
)
def test_pu_steps_upwards_on_a_negative_normal_risk_as_its_correction_says(
    correction, loss, on_unlabeled
):
    got, gradient, _, risks = evaluate(
        PositiveUnlabeled(0.5, correction), unlabeled=[0.5, 1.5], sensitive=[5.0]
    )
    assert got == pytest.approx(loss)
    assert gradient == [on_unlabeled, on_unlabeled]
    assert risks["normal"] == -1.5
    assert risks["correction_active"] == 1


@pytest.mark.parametrize("objective", [Supervised(), PositiveUnlabeled(0.1)])
def test_share_of_s_on_which_the_sensitive_term_is_silent_is_logged(objective):
    assert (
        evaluate(objective, unlabeled=[50.0], sensitive=[19.0, 21.0, 1.0, 900.0])[3][
            "saturated_share"
        ]
        == 0.5
    )
    assert evaluate(objective, unlabeled=[50.0], sensitive=[])[3]["saturated_share"] == 0


@pytest.mark.parametrize("correction", ["non_negative", "absolute", "none"])
def test_pu_with_beta_zero_is_unsupervised(correction):
    loss, on_unlabeled, on_sensitive, _ = evaluate(PositiveUnlabeled(0.0, correction))
    assert (loss, on_unlabeled) == evaluate(Unsupervised())[:2]
    assert on_sensitive == [0, 0]


TRAINED = [name for name, method in METHODS.items() if method.trains]


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_reads_what_its_entry_in_methods_says(method):
    error = torch.tensor([1.0, 3.0, 2.0, 4.0, 6.0], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2])
    probabilities = torch.tensor([0.1, 0.6, 1.0, 1.0, 0.0])

    def loss(
        beta: float, gamma: float, mixing: float = 0.5, given: torch.Tensor = probabilities
    ) -> torch.Tensor:
        return build_objective(method, beta, "none", gamma, mixing)(error, labels, given)[0]

    (gradient,) = torch.autograd.grad(loss(0.2, 0.3), error)
    read = {
        name for name, label in zip(SETS, range(3), strict=True) if gradient[labels == label].any()
    }
    assert read == set(METHODS[method].sets)
    assert (loss(0.2, 0.3) != loss(0.4, 0.3)) == (METHODS[method].beta is not None)
    assert (loss(0.2, 0.3) != loss(0.2, 0.6)) == METHODS[method].uses_gamma
    assert (loss(0.2, 0.3) != loss(0.2, 0.3, mixing=0.7)) == METHODS[method].uses_mixing
    others = torch.tensor([0.4, 0.2, 1.0, 1.0, 0.0])
    assert (loss(0.2, 0.3) != loss(0.2, 0.3, given=others)) == METHODS[method].weighs


def test_pnu_on_hand_worked_numbers():
    error, labels = torch.tensor([1.0, 3.0, 2.0, 4.0, 6.0]), torch.tensor([0, 0, 1, 1, 2])
    positive = -(math.log1p(-math.exp(-2)) + math.log1p(-math.exp(-4))) / 2
    pu = 0.2 * positive + 2 - 0.2 * 3
    pn = 0.2 * positive + 0.8 * 6
    loss, risks = build_objective("pnu", 0.2, "non_negative", 0.3)(error, labels)
    assert float(loss) == pytest.approx(0.3 * pn + 0.7 * pu)
    assert float(risks["labeled_normal_negative"]) == 6
    assert float(
        build_objective("pnu", 0.2, "non_negative", 0.0)(error, labels)[0]
    ) == pytest.approx(pu)


def test_weights_on_hand_worked_numbers():
    """U's images are 0.25 and 0.5 sensitive; half of the way to PU adds half of what was taken."""
    loss, on_unlabeled, on_sensitive, _ = evaluate(Weighted(), probabilities=[0.25, 0.5])
    assert loss == pytest.approx((0.75 * 1 + 0.5 * 3) / 2)
    assert on_unlabeled == pytest.approx([0.375, 0.25])
    assert on_sensitive == [0, 0]
    mixed = WeightedPositiveUnlabeled(PositiveUnlabeled(0.25), mixing=0.5)
    added = 0.25 * SENSITIVE_POSITIVE + (0.25 * 1 + 0.5 * 3) / 2 - 0.25 * SENSITIVE_NEGATIVE
    assert evaluate(mixed, probabilities=[0.25, 0.5])[0] == pytest.approx(loss + 0.5 * added)


@pytest.mark.parametrize("correction", ["non_negative", "absolute", "none"])
@pytest.mark.parametrize("beta", [0.1, 0.99])
def test_the_two_ends_of_mixing_are_weights_and_pu(correction, beta):
    pu = PositiveUnlabeled(beta, correction)
    ends = [WeightedPositiveUnlabeled(pu, mixing) for mixing in (0.0, 1.0)]
    assert (
        evaluate(ends[0], probabilities=[0.25, 0.5])[:3]
        == evaluate(Weighted(), probabilities=[0.25, 0.5])[:3]
    )
    loss, on_unlabeled, on_sensitive, risks = evaluate(pu)
    found = evaluate(ends[1], probabilities=[0.25, 0.5])
    assert found[:3] == (loss, on_unlabeled, on_sensitive)
    assert found[3] == risks


def test_weights_without_probabilities_are_refused():
    with pytest.raises(ValueError, match="probability"):
        evaluate(Weighted())


@pytest.mark.parametrize("gamma", [-0.1, 1.1])
def test_gamma_outside_its_range_is_refused(gamma):
    with pytest.raises(InvalidInput, match=r"^gamma must be in \[0, 1\]"):
        build_objective("pnu", 0.1, "none", gamma)


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_trains_on_a_batch_without_s_as_the_unsupervised_one_does(method):
    objective = build_objective(method, 0.2, "non_negative")
    loss, on_unlabeled, *_ = evaluate(objective, sensitive=[], probabilities=[0.0, 0.0])
    assert (loss, on_unlabeled) == (2, [0.5, 0.5])


def test_names_of_the_methods_give_their_objectives():
    assert build_objective("unsupervised", None, "none") == Unsupervised()
    assert build_objective("supervised", None, "none") == Supervised()
    assert build_objective("pu", 0.3, "absolute") == PositiveUnlabeled(0.3, "absolute")
    assert DEFAULT_METHODS == ("unsupervised", "supervised", "pu")


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.3, math.nan])
def test_beta_outside_its_range_is_refused(beta):
    with pytest.raises(InvalidInput, match=rf"beta must be in \[0, 1\), got {beta}"):
        build_objective("pu", beta, "non_negative")


def test_pu_without_beta_is_refused():
    with pytest.raises(ValueError, match="method pu needs beta"):
        build_objective("pu", None, "non_negative")


def test_unknown_names_are_refused_naming_the_known_ones():
    with pytest.raises(
        InvalidInput,
        match=r"method must be one of unsupervised, .*pu, pnu, clean, .*oracle, got 'sa'",
    ):
        build_objective("sa", 0.1, "non_negative")
    with pytest.raises(InvalidInput, match=r"^correction must be one of non_negative.*got 'clip'"):
        build_objective("pu", 0.1, "clip")
