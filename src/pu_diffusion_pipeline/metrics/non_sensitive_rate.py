"""The non-sensitive rate: the share of samples that the judge takes for normal (paper, Sec. 5.2)."""

from statistics import NormalDist
from typing import Any


def wilson_interval(num_successes: int, num_trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a share (Wilson 1927)."""
    if not 0 <= num_successes <= num_trials or num_trials < 1:
        raise ValueError(f"need 0 <= successes <= trials >= 1, got {num_successes} of {num_trials}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = num_successes / num_trials
    denominator = 1 + z**2 / num_trials
    centre = (share + z**2 / (2 * num_trials)) / denominator
    half = z / denominator * (share * (1 - share) / num_trials + z**2 / (4 * num_trials**2)) ** 0.5
    # At 0 and at all successes the formula's end is exact; rounding must not put it inside.
    low = 0.0 if num_successes == 0 else centre - half
    high = 1.0 if num_successes == num_trials else centre + half
    return low, high


def rogan_gladen(rate: float, normal_recall: float, sensitive_recall: float) -> float | None:
    """The rate a faultless judge would have found, given this one's confusion (Rogan & Gladen 1978), in [0, 1].

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


def non_sensitive_rate(num_normal: int, num_samples: int, judge: dict[str, Any]) -> dict[str, Any]:
    """The rate with its interval and counts, as judged and corrected.

    Args:
        num_normal: samples judged normal.
        num_samples: all samples.
        judge: what `assess_judge` returned.
    """
    low, high = wilson_interval(num_normal, num_samples)
    rate = num_normal / num_samples
    recalls = (judge["normal_recall"], judge["sensitive_recall"])
    corrected, corrected_low, corrected_high = (rogan_gladen(value, *recalls) for value in (rate, low, high))
    return {
        "value": rate,
        "low": low,
        "high": high,
        "num_normal": num_normal,
        "num_samples": num_samples,
        "corrected": corrected,
        "corrected_low": corrected_low,
        "corrected_high": corrected_high,
        "judge": judge,
    }
