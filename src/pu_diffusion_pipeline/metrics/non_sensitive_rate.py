"""The non-sensitive rate: the share of samples that the judge calls normal (paper, Sec. 5.2)."""

from collections.abc import Mapping
from statistics import NormalDist


def wilson_interval(
    num_successes: int, num_trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Confidence interval of a share (Wilson 1927)."""
    if not 0 <= num_successes <= num_trials or num_trials < 1:
        raise ValueError(f"need 0 <= successes <= trials >= 1, got {num_successes} of {num_trials}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = num_successes / num_trials
    denominator = 1 + z**2 / num_trials
    centre = (share + z**2 / (2 * num_trials)) / denominator
    half = z / denominator * (share * (1 - share) / num_trials + z**2 / (4 * num_trials**2)) ** 0.5
    # With no success, or with successes only, the bound is exact: rounding must not move it inside.
    low = 0.0 if num_successes == 0 else centre - half
    high = 1.0 if num_successes == num_trials else centre + half
    return low, high


def rogan_gladen(rate: float, normal_recall: float, sensitive_recall: float) -> float | None:
    """The rate that a judge without errors would find, in [0, 1] (Rogan & Gladen 1978).

    Args:
        rate: share judged normal.
        normal_recall: P(judged normal | normal).
        sensitive_recall: P(judged sensitive | sensitive).

    Returns:
        None if the judge is no better than chance.
    """
    skill = normal_recall + sensitive_recall - 1
    if skill <= 0:
        return None
    return min(max((rate - (1 - sensitive_recall)) / skill, 0.0), 1.0)


def non_sensitive_rate(
    num_normal: int, num_samples: int, judge: Mapping[str, float | int | str]
) -> dict[str, object]:
    """The rate with its interval and counts, as judged and corrected for the judge's errors.

    Args:
        num_normal: samples judged normal.
        num_samples: all samples.
        judge: what `assess_judge` returned.
    """
    low, high = wilson_interval(num_normal, num_samples)
    rate = num_normal / num_samples

    def corrected(value: float) -> float | None:
        recalls = (float(judge["normal_recall"]), float(judge["sensitive_recall"]))
        return rogan_gladen(value, *recalls)

    return {
        "value": rate,
        "low": low,
        "high": high,
        "num_normal": num_normal,
        "num_samples": num_samples,
        "corrected": corrected(rate),
        "corrected_low": corrected(low),
        "corrected_high": corrected(high),
        "judge": judge,
    }
