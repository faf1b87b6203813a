"""The second judge: what it learns, that it comes back from a file, and whether S is copied."""

import numpy as np
import pandas as pd
import pytest

from pu_diffusion_pipeline.metrics import second_judge
from pu_diffusion_pipeline.metrics.second_judge import (
    SecondJudge,
    accuracy_of,
    second_opinion,
    share_near,
    train_second_judge,
)

RNG = np.random.default_rng(0)


def bright(count: int, low: int, high: int) -> np.ndarray:
    return RNG.integers(low, high, (count, 1, 6, 6), dtype=np.uint8)


NORMAL, SENSITIVE = bright(40, 140, 256), bright(40, 0, 120)
IMAGES = np.concatenate([NORMAL, SENSITIVE])
IS_NORMAL = np.arange(80) < 40


@pytest.fixture(scope="module")
def judge() -> SecondJudge:
    return train_second_judge(IMAGES, IS_NORMAL, seed=0)


def test_it_tells_normal_from_sensitive_on_images_it_never_saw(judge):
    found = accuracy_of(judge, bright(20, 140, 256), bright(20, 0, 120))
    assert found == {"normal_recall": 1.0, "sensitive_recall": 1.0}


def test_its_decisions_are_those_of_scikit_learn():
    from sklearn.svm import SVC

    hard = bright(300, 0, 256)
    truth = hard.mean((1, 2, 3)) > 127
    judge = train_second_judge(hard, truth, seed=0)
    rows = hard.reshape(300, -1) / 255.0
    machine = SVC(C=second_judge.PENALTY, gamma="scale").fit(rows, truth)
    unseen = bright(500, 0, 256)
    expected = machine.predict(unseen.reshape(500, -1) / 255.0)
    np.testing.assert_array_equal(judge.judged_normal(unseen), expected)


def test_it_comes_back_from_its_folder(judge, tmp_path):
    judge.save_pretrained(tmp_path / "judge")
    again = SecondJudge.from_pretrained(tmp_path / "judge")
    unseen = bright(50, 0, 256)
    np.testing.assert_array_equal(again.judged_normal(unseen), judge.judged_normal(unseen))
    assert again.manifest == judge.manifest


def test_of_many_images_it_learns_from_some_that_the_seed_draws(monkeypatch):
    monkeypatch.setattr(second_judge, "MOST_IMAGES", 30)
    judges = [train_second_judge(IMAGES, IS_NORMAL, seed) for seed in (0, 0, 1)]
    assert all(one.manifest["num_images"] == 30 for one in judges)
    first, same, other = (one.arrays["support_vectors"] for one in judges)
    np.testing.assert_array_equal(first, same)
    assert first.shape != other.shape or (first != other).any()


def test_copies_of_s_are_near_s_and_chance_is_one_half():
    one, other = bright(30, 0, 256), bright(50, 0, 256)
    assert share_near(one, one, other) == 1.0
    assert share_near(other[:30], one, other) == 0.0
    assert 0.4 < share_near(bright(2_500, 0, 256), one, other) < 0.6


def test_an_opinion_counts_what_both_take_for_normal_and_the_classes(judge):
    samples = np.concatenate([NORMAL[:3], SENSITIVE[:2]])
    first = pd.DataFrame(
        {"predicted_class": [0, 2, 1, 0, 1], "judged_sensitive": [False, False, True, False, True]}
    )
    said = second_opinion(judge, samples, first, SENSITIVE[:10], SENSITIVE[10:20])
    assert (said["non_sensitive_rate"], said["both"]) == (0.6, 0.4)
    assert said["low"] < 0.6 < said["high"]
    assert said["classes"] == {"0": 2, "2": 1}
