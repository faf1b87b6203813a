"""t-tests between methods over seeds (paper, Sec. 5.4.1: "pair-wise t-test", 5 %)."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

Kind = Literal["paired", "welch"]


class Test(NamedTuple):
    """A two-sided t-test.

    Attributes:
        p_value: None where it cannot be had.
        statistic: t, above 0 if the first sample's mean is higher; None where it cannot be had.
        num: pairs (`paired`) or the smaller number of runs (`welch`).
        reason: why there is no p-value; empty otherwise.
    """

    p_value: float | None
    statistic: float | None
    num: int
    reason: str = ""


def t_test(first: Mapping[int, float], second: Mapping[int, float], kind: Kind = "paired") -> Test:
    """Compare two methods' values over seeds.

    Args:
        first: seed to value.
        second: seed to value; `paired` uses the seeds that both have.
        kind: `paired` (scipy's ttest_rel) or `welch` (ttest_ind without equal variances).
    """
    from scipy import stats

    if kind == "paired":
        seeds = sorted(set(first) & set(second))
        samples = [np.array([values[seed] for seed in seeds]) for values in (first, second)]
        reason = f"{len(seeds)} common seeds, a paired test needs 2"
    else:
        samples = [np.array(list(values.values())) for values in (first, second)]
        reason = f"{len(samples[0])} and {len(samples[1])} runs, Welch's test needs 2 of each"
    num = min(map(len, samples))
    if num < 2:
        return Test(None, None, num, reason)
    gap = float(samples[0].mean() - samples[1].mean())
    constant = np.ptp(samples[0] - samples[1]) == 0 if kind == "paired" else all(np.ptp(part) == 0 for part in samples)
    if constant:  # no variance: t is 0 / 0 or infinite
        return Test(1.0, 0.0, num) if gap == 0 else Test(0.0, float(np.copysign(np.inf, gap)), num)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nearly equal values: precision loss is scipy's to note
        result = stats.ttest_rel(*samples) if kind == "paired" else stats.ttest_ind(*samples, equal_var=False)
    return Test(float(result.pvalue), float(result.statistic), num)


def against_best(
    values: Mapping[Any, Mapping[int, float]], *, higher_is_better: bool, kind: Kind = "paired"
) -> tuple[Any, dict[Any, Test]]:
    """The method with the best mean, and the test of every other method against it.

    Args:
        values: method to (seed to value); each with at least one value.
        higher_is_better: direction.
        kind: as in `t_test`.
    """
    sign = 1 if higher_is_better else -1
    best = max(values, key=lambda name: sign * float(np.mean(list(values[name].values()))))
    return best, {name: t_test(values[best], values[name], kind) for name in values if name != best}


def best_or_equal(
    values: Mapping[Any, Mapping[int, float]], *, higher_is_better: bool, kind: Kind = "paired", level: float = 0.05
) -> set[Any]:
    """The methods that the paper's tables print in bold: the best one and those not significantly different from it.

    A method whose test cannot be done is not among them; nor is the best one if no test at all could be done.
    """
    best, tests = against_best(values, higher_is_better=higher_is_better, kind=kind)
    done = {name: test.p_value for name, test in tests.items() if test.p_value is not None}
    return {best, *(name for name, p_value in done.items() if p_value >= level)} if done else set()
