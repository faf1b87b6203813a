import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pu_diffusion_pipeline.metrics.non_sensitive_rate import (
    non_sensitive_rate,
    rogan_gladen,
    wilson_interval,
)

quick = settings(max_examples=50, deadline=None, derandomize=True, database=None)
shares = st.floats(0, 1)


# Newcombe 1998, Statistics in Medicine 17, Table I, method 3 (Wilson score, no correction).
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_matches_the_published_values(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@quick
@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_interval_equals_scipys(successes, trials, confidence):
    assume(successes <= trials)
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, trials, confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


@quick
@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_interval_holds_the_share_and_mirrors(successes, trials):
    assume(successes <= trials)
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson_interval(trials - successes, trials)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


def test_wilson_interval_has_its_closed_form_at_the_ends():
    z = 1.959963984540054
    assert wilson_interval(0, 50) == (0.0, pytest.approx(z**2 / (50 + z**2)))
    assert wilson_interval(50, 50) == (pytest.approx(50 / (50 + z**2)), 1.0)


def test_wilson_interval_shrinks_like_one_over_the_root_of_the_count():
    widths = [high - low for low, high in (wilson_interval(9 * n, 10 * n) for n in (100, 400))]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 10), (11, 10), (0, 0)])
def test_counts_that_are_none_are_refused(successes, trials):
    with pytest.raises(ValueError, match=f"got {successes} of {trials}"):
        wilson_interval(successes, trials)


@quick
@given(shares, st.floats(0.51, 1), st.floats(0.51, 1))
def test_rogan_gladen_inverts_the_confusion_of_the_judge(
    true_rate, normal_recall, sensitive_recall
):
    judged = true_rate * normal_recall + (1 - true_rate) * (1 - sensitive_recall)
    assert rogan_gladen(judged, normal_recall, sensitive_recall) == pytest.approx(
        true_rate, abs=1e-9
    )


@quick
@given(shares, st.floats(0.51, 1), st.floats(0.51, 1))
def test_rogan_gladen_stays_a_share(rate, normal_recall, sensitive_recall):
    assert 0 <= rogan_gladen(rate, normal_recall, sensitive_recall) <= 1


def test_rogan_gladen_with_a_faultless_judge_changes_nothing():
    assert rogan_gladen(0.83, 1.0, 1.0) == pytest.approx(0.83)


def test_rogan_gladen_on_hand_worked_numbers():
    # 90 % of normal and 80 % of sensitive images are judged right:
    # of 0.7 normal and 0.3 sensitive, 0.63 + 0.06 = 0.69 are judged normal.
    assert rogan_gladen(0.69, 0.9, 0.8) == pytest.approx(0.7)
    assert rogan_gladen(0.1, 0.9, 0.8) == 0
    assert rogan_gladen(0.95, 0.9, 0.8) == 1


@pytest.mark.parametrize(
    ("normal_recall", "sensitive_recall"), [(0.5, 0.5), (0.3, 0.6), (1.0, 0.0)]
)
def test_a_judge_no_better_than_chance_corrects_nothing(normal_recall, sensitive_recall):
    assert rogan_gladen(0.7, normal_recall, sensitive_recall) is None


def test_rate_comes_with_its_interval_counts_and_judge():
    judge = {"normal_recall": 0.98, "sensitive_recall": 0.95, "weights_digest": "abc"}
    record = non_sensitive_rate(1800, 2000, judge)
    assert record["value"] == 0.9
    assert (record["low"], record["high"]) == wilson_interval(1800, 2000)
    assert (record["num_normal"], record["num_samples"]) == (1800, 2000)
    assert record["corrected"] == pytest.approx((0.9 - 0.05) / 0.93)
    assert record["corrected_low"] == pytest.approx((record["low"] - 0.05) / 0.93)
    assert record["corrected_high"] == pytest.approx((record["high"] - 0.05) / 0.93)
    assert record["judge"] is judge


def test_rate_of_a_judge_no_better_than_chance_has_no_corrected_value():
    record = non_sensitive_rate(9, 10, {"normal_recall": 0.5, "sensitive_recall": 0.4})
    assert record["value"] == 0.9
    assert [record[name] for name in ("corrected", "corrected_low", "corrected_high")] == [None] * 3
    assert math.isclose(record["low"], wilson_interval(9, 10)[0])
