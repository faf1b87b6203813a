import numpy as np
import pytest
from scipy import stats

from pu_diffusion_pipeline.metrics.significance import against_best, best_or_equal, t_test

# Five seeds of two methods, and one more seed of the second.
ONE = {0: 0.91, 1: 0.93, 2: 0.92, 3: 0.95, 4: 0.94}
OTHER = {0: 0.90, 1: 0.91, 2: 0.92, 3: 0.92, 4: 0.91, 5: 0.99}


def test_paired_test_is_scipys_on_the_common_seeds():
    expected = stats.ttest_rel(list(ONE.values()), [OTHER[seed] for seed in ONE])
    got = t_test(ONE, OTHER)
    assert (got.p_value, got.statistic) == pytest.approx((expected.pvalue, expected.statistic))
    assert got.num == 5


def test_paired_test_pairs_by_seed_not_by_place():
    assert t_test(ONE, OTHER) == t_test(dict(reversed(ONE.items())), OTHER)


def test_welch_test_is_scipys_on_all_runs():
    expected = stats.ttest_ind(list(ONE.values()), list(OTHER.values()), equal_var=False)
    got = t_test(ONE, OTHER, "welch")
    assert (got.p_value, got.statistic) == pytest.approx((expected.pvalue, expected.statistic))


@pytest.mark.parametrize(
    ("first", "second", "kind", "reason"),
    [
        ({0: 0.9}, {0: 0.8}, "paired", "1 common seeds, a paired test needs 2"),
        ({0: 0.9, 1: 0.8}, {2: 0.9, 3: 0.8}, "paired", "0 common seeds"),
        ({0: 0.9}, {0: 0.8, 1: 0.7}, "welch", "1 and 2 runs, Welch's test needs 2 of each"),
    ],
)
def test_too_few_runs_give_no_p_value_but_the_reason(first, second, kind, reason):
    got = t_test(first, second, kind)
    assert got.p_value is None
    assert reason in got.reason


@pytest.mark.parametrize("kind", ["paired", "welch"])
def test_samples_without_variance_are_equal_or_not(kind):
    same, higher = {0: 0.5, 1: 0.5}, {0: 0.6, 1: 0.6}
    assert t_test(same, dict(same), kind).p_value == 1
    assert t_test(higher, same, kind).p_value == 0
    assert t_test(higher, same, kind).statistic == np.inf


def test_the_best_is_the_highest_or_the_lowest_mean():
    values = {"a": ONE, "b": {seed: value - 0.2 for seed, value in ONE.items()}}
    assert against_best(values, higher_is_better=True)[0] == "a"
    best, tests = against_best(values, higher_is_better=False)
    assert best == "b"
    assert set(tests) == {"a"}


def test_bold_are_the_best_and_those_not_different_from_it():
    close = {seed: value + (0.005 if seed % 2 else -0.006) for seed, value in ONE.items()}
    far = {seed: value - 0.2 + 0.001 * seed for seed, value in ONE.items()}
    assert best_or_equal({"best": ONE, "close": close, "far": far}, higher_is_better=True) == {
        "best",
        "close",
    }


def test_without_any_test_nothing_is_bold():
    assert best_or_equal({"a": {0: 0.9}, "b": {0: 0.1}}, higher_is_better=True) == set()


def test_a_method_that_cannot_be_tested_is_not_bold():
    far = {seed: value - 0.2 + 0.001 * seed for seed, value in ONE.items()}
    assert best_or_equal({"a": ONE, "b": far, "c": {9: 0.9}}, higher_is_better=True) == {"a"}
