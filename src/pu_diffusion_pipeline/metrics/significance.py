"""t-tests between methods over seeds (paper, Sec. 5.4.1: "pair-wise t-test", 5 %)."""

import warnings
from collections.abc import Hashable, Mapping
from typing import Literal, NamedTuple, TypeVar

import numpy as np

Kind = Literal["paired", "welch"]
Name = TypeVar("Name", bound=Hashable)


class TTest(NamedTuple):
    """The result of a two-sided t-test.

    Attributes:
        p_value: None where the test cannot be done.
        statistic: t, above 0 if the first sample's mean is higher; None where it cannot be done.
        num: number of pairs (`paired`), or of runs in the smaller sample (`welch`).
        reason: why there is no p-value; empty otherwise.
    """

    p_value: float | None
    statistic: float | None
    num: int
    reason: str = ""


def t_test(first: Mapping[int, float], second: Mapping[int, float], kind: Kind = "paired") -> TTest:
    """Compare the values of two methods over seeds.

    Args:
        first: seed to value.
        second: seed to value; `paired` uses the seeds that both have.
        kind: `paired` (scipy's ttest_rel) or `welch` (ttest_ind without equal variances).
    """
    if kind == "paired":
        seeds = sorted(set(first) & set(second))
        samples = [np.array([values[seed] for seed in seeds]) for values in (first, second)]
        reason = f"{len(seeds)} common seeds, a paired test needs 2"
    else:
        samples = [np.array(list(values.values())) for values in (first, second)]
        reason = f"{len(samples[0])} and {len(samples[1])} runs, Welch's test needs 2 of each"
    num = min(map(len, samples))
    if num < 2:
        return TTest(None, None, num, reason)
    p_value, statistic = _p_value(samples, kind)
    return TTest(p_value, statistic, num)


def _p_value(samples: list[np.ndarray], kind: Kind) -> tuple[float, float]:
    """p and t of two samples of at least two values."""
    from scipy import stats

    varying = [samples[0] - samples[1]] if kind == "paired" else samples
    if all(np.ptp(part) == 0 for part in varying):  # no variance: t is 0 / 0 or infinite
        gap = float(samples[0].mean() - samples[1].mean())
        return (1.0, 0.0) if gap == 0 else (0.0, float(np.copysign(np.inf, gap)))
    with warnings.catch_warnings():
        # scipy warns of lost precision when the values are nearly equal.
        warnings.simplefilter("ignore", RuntimeWarning)
        if kind == "paired":
            result = stats.ttest_rel(*samples)
        else:
            result = stats.ttest_ind(*samples, equal_var=False)
    return float(result.pvalue), float(result.statistic)


def against_best(
    values: Mapping[Name, Mapping[int, float]], *, higher_is_better: bool, kind: Kind = "paired"
) -> tuple[Name, dict[Name, TTest]]:
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
    values: Mapping[Name, Mapping[int, float]],
    *,
    higher_is_better: bool,
    kind: Kind = "paired",
    level: float = 0.05,
) -> set[Name]:
    """The methods in bold in the paper's tables: the best and all not significantly different.

    A method that cannot be tested is not among them. Neither is the best if no test could be done.
    """
    best, tests = against_best(values, higher_is_better=higher_is_better, kind=kind)
    p_values = {name: test.p_value for name, test in tests.items() if test.p_value is not None}
    if not p_values:
        return set()
    return {best, *(name for name, p_value in p_values.items() if p_value >= level)}
