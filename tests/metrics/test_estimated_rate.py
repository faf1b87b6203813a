"""Laws of the non-sensitive rate without labels, on scores whose mixture is known."""

import json

import numpy as np
import pytest

from pu_diffusion_pipeline.metrics import estimated_rate
from pu_diffusion_pipeline.metrics.estimated_rate import beta_range, rate_from_scores
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores

BETA = 0.1


def drawn(share: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of images of which a share, exactly, is sensitive: N(3, 1) among N(0, 1)."""
    return rng.normal(3.0 * (np.arange(count) < round(share * count)), 1)


def some_scores(rng: np.random.Generator, num_repeats: int = 1) -> Scores:
    """Of 200 images of S and 2,000 of U; repeats differ by a little noise."""
    sets = [drawn(1, 200, rng), drawn(BETA, 2_000, rng)]
    return Scores(*(part + rng.normal(0, 0.1, (num_repeats, len(part))) for part in sets))


def rate(share: float, draw: int = 0, **options) -> dict:
    """The rate of 500 samples with three folds' scores."""
    rng = np.random.default_rng(draw)
    scores = some_scores(rng, num_repeats=2)
    samples = drawn(share, 500, rng) + rng.normal(0, 0.1, (2, 3, 500))
    options = {"beta": BETA, "num_resamples": 100, "seed": 0, **options}
    return rate_from_scores(scores, samples, **options)


@pytest.mark.parametrize("share", [0, 0.05, 0.1, 0.3, 1])
def test_the_rate_of_an_exact_mixture_is_found_and_covered(share):
    records = [rate(share, seed) for seed in range(20)]
    errors = [record["estimate"] - (1 - share) for record in records]
    assert abs(np.mean(errors)) < 0.015
    covered = [record["low"] <= 1 - share <= record["high"] for record in records]
    assert sum(covered) >= 17
    assert all(record["low"] <= record["estimate"] <= record["high"] for record in records)


def test_an_interval_is_no_wider_than_it_must_be():
    """At most 0.125, where the error of a share of 500 alone gives 0.02 to both sides."""
    widths = [record["high"] - record["low"] for record in (rate(0.1, seed) for seed in range(5))]
    assert max(widths) < 0.125


def test_samples_that_are_u_have_the_rate_of_u_and_those_that_are_s_have_none():
    scores = some_scores(np.random.default_rng(0))
    options = {"num_resamples": 20, "seed": 0}
    of_unlabeled = rate_from_scores(scores, scores.unlabeled[:, None], BETA, **options)
    assert of_unlabeled["estimate"] == pytest.approx(1 - BETA, abs=1e-12)
    of_labeled = rate_from_scores(scores, scores.labeled_sensitive[:, None], BETA, **options)
    assert of_labeled["estimate"] == pytest.approx(0, abs=1e-12)


def test_more_sensitive_samples_give_a_lower_rate():
    shares = (0.0, 0.1, 0.2, 0.4, 0.8)
    means = [np.mean([rate(share, seed)["estimate"] for seed in range(3)]) for share in shares]
    assert (np.diff(means) < -0.05).all()


def test_a_beta_that_is_uncertain_widens_the_interval_to_both_sides():
    known, uncertain = rate(0.3), rate(0.3, beta_range=(0.02, 0.2))
    assert uncertain["estimate"] == known["estimate"]
    assert uncertain["low"] < known["low"] - 0.01
    assert uncertain["high"] > known["high"] + 0.01
    assert uncertain["beta_range"] == [0.02, 0.2]


def test_repeats_that_disagree_widen_the_interval():
    rng = np.random.default_rng(0)
    scores = some_scores(rng)
    samples = drawn(0.3, 500, rng)[None, None]
    options = {"num_resamples": 200, "seed": 0}
    alone = rate_from_scores(scores, samples, BETA, **options)
    # The repeats move the samples apart and back: their means are those of before.
    moved = np.concatenate([samples - 0.5, samples + 0.5])
    both = rate_from_scores(
        Scores(*(np.repeat(part, 2, 0) for part in scores)), moved, BETA, **options
    )
    assert both["estimate"] == pytest.approx(alone["estimate"])
    assert both["high"] - both["low"] > 1.3 * (alone["high"] - alone["low"])


def test_fewer_samples_give_a_wider_interval():
    rng = np.random.default_rng(0)
    scores = some_scores(rng)
    samples = rng.permutation(drawn(0.3, 2_000, rng))
    widths = []
    for count in (50, 2_000):
        record = rate_from_scores(
            scores, samples[None, None, :count], BETA, num_resamples=100, seed=0
        )
        widths.append(record["high"] - record["low"])
        assert record["num_samples"] == count
    assert widths[0] > 2 * widths[1]


def test_scores_that_tell_nothing_give_no_estimate():
    scores = Scores(np.zeros((1, 30)), np.zeros((1, 70)))
    record = rate_from_scores(scores, np.zeros((1, 2, 40)), BETA, num_resamples=20, seed=0)
    assert record["estimate"] is None
    assert (record["low"], record["high"]) == (0.0, 1.0)
    assert record["warnings"] == ["the scores do not tell S from U"]


def test_a_mixture_fits_and_samples_of_another_kind_are_warned_of():
    assert rate(0.3)["warnings"] == []
    rng = np.random.default_rng(0)
    scores = some_scores(rng)
    odd = rng.normal(1.5, 0.5, (1, 1, 500))  # neither like sensitive images nor like normal ones
    record = rate_from_scores(scores, odd, BETA, num_resamples=20, seed=0)
    assert record["misfit"] > 0.2
    assert record["warnings"][0].startswith("the samples are no mixture")


def test_the_same_seed_gives_the_same_record_and_another_one_another_interval():
    record = rate(0.3)
    assert record == rate(0.3)
    assert record["low"] != rate(0.3, seed=1)["low"]
    assert json.loads(json.dumps(record)) == record
    assert (record["how"], record["level"], record["beta"]) == ("estimated, no labels", 0.95, BETA)


def test_the_range_of_an_estimated_beta_holds_all_that_was_found():
    record = {
        "sampling_variability": [0.08, 0.12],
        "spread_of_repeats": [0.09, 0.1],
        "spread_of_methods": [0.085, 0.15],
    }
    assert beta_range(record) == (0.08, 0.15)
    assert beta_range(dict.fromkeys(record)) is None


def test_the_interval_is_widened_by_the_share_that_no_mixture_explains():
    rng = np.random.default_rng(5)
    normal, sensitive = rng.normal(0, 1, 4000), rng.normal(4, 1, 4000)
    unlabeled = np.concatenate([normal[:1800], sensitive[:200]])
    scores = Scores(sensitive[None, 3000:], unlabeled[None])
    mixture = np.concatenate([normal[2000:3800], sensitive[1000:1200]])[None, None]
    strange = mixture.copy()
    strange[..., :400] = 1.7  # between the two, where neither is
    usual, widened = (
        rate_from_scores(scores, one, 0.1, num_resamples=50, seed=0) for one in (mixture, strange)
    )
    assert usual["unexplained"] < 0.02
    assert 0.1 < widened["unexplained"] <= widened["misfit"]
    for record in (usual, widened):
        assert record["low"] <= max(record["estimate"] - record["unexplained"], 0)
        assert record["high"] >= min(record["estimate"] + record["unexplained"], 1)


def test_the_interval_holds_the_uncertainty_of_the_unexplained_share(monkeypatch):
    """None is found here, but resamples find some: it is known no better than they agree."""
    rng = np.random.default_rng(7)
    unlabeled = np.concatenate([rng.normal(0, 1, 900), rng.normal(4, 1, 100)])
    scores = Scores(rng.normal(4, 1, (1, 100)), unlabeled[None])
    samples = np.concatenate([rng.normal(0, 1, 180), rng.normal(4, 1, 20)])[None, None]
    found = rate_from_scores(scores, samples, 0.1, num_resamples=200, seed=0)
    monkeypatch.setattr(estimated_rate, "_unexplained", lambda misfit, deviation: 0.0)
    without = rate_from_scores(scores, samples, 0.1, num_resamples=200, seed=0)
    assert found["unexplained"] == 0
    assert found["low"] < without["low"]
    assert found["high"] > without["high"]
