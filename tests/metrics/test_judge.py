from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.synthetic import synthetic_digits
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.metrics.judge import (
    Judge,
    assess_judge,
    batches,
    judged_normal,
    predicted_classes,
    train_judge,
)
from pu_diffusion_pipeline.metrics.options import JudgeOptions

CONF = Path(__file__).resolve().parents[2] / "conf"
EVEN = (0, 2, 4, 6, 8)


def options(**changes) -> JudgeOptions:
    merged = OmegaConf.merge(
        *(OmegaConf.load(CONF / name / "parameters.yml") for name in ("base", "test"))
    )
    usual = {"image_size": 16, "num_epochs": 12, "batch_size": 50, "learning_rate": 3e-3, "seed": 0}
    return JudgeOptions(**{**OmegaConf.to_container(merged.judge), **usual, **changes})


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """300 training images (28 x 28) and classes, 100 others."""
    images, classes = synthetic_digits(per_class=40)
    order = np.random.default_rng(0).permutation(len(classes))
    images, classes = images[order, None], classes[order]
    return images[:300], classes[:300], images[300:], classes[300:]


@pytest.fixture(scope="module")
def judge() -> Judge:
    images, classes, *_ = digits()
    return train_judge(images, classes, EVEN, options(), "cpu")


def as_sets(images: np.ndarray, classes: np.ndarray) -> tuple:
    """Test images with their classes, held-out images with theirs."""
    normal = np.isin(classes, EVEN)
    return ImageSet(images[normal]), classes[normal], ImageSet(images[~normal]), classes[~normal]


def test_judge_learns_the_classes_of_images_it_has_not_seen(judge):
    _, _, images, classes = digits()
    report = assess_judge(judge, *as_sets(images, classes), "cpu")
    assert report["accuracy"] > 0.95
    assert report["normal_recall"] > 0.95
    assert report["sensitive_recall"] > 0.95
    assert report["num_normal"] + report["num_sensitive"] == 100
    assert report["weights_digest"] == judge.weights_digest


def test_same_seed_gives_the_same_judge_whatever_the_global_random_state(judge):
    images, classes, *_ = digits()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = train_judge(images, classes, EVEN, options(), "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert again.weights_digest == judge.weights_digest
    other = train_judge(images, classes, EVEN, options(seed=1, num_epochs=1), "cpu")
    first = train_judge(images, classes, EVEN, options(seed=0, num_epochs=1), "cpu")
    assert other.weights_digest != first.weights_digest


def test_a_saved_judge_gives_the_same_logits_and_digest(judge, tmp_path):
    judge.manifest.update(num_images=300, settings={"judge.seed": 0})
    judge.save_pretrained(tmp_path / "judge")
    loaded = Judge.from_pretrained(tmp_path / "judge")
    images = to_unit(torch.from_numpy(digits()[2]))
    with torch.inference_mode():
        assert torch.equal(loaded(images), judge(images))
        assert torch.equal(loaded.features(images), judge.features(images))
    assert loaded.weights_digest == judge.weights_digest
    assert loaded.manifest == {"num_images": 300, "settings": {"judge.seed": 0}}
    assert loaded.normal_classes == EVEN
    assert not loaded.training


def test_digest_is_that_of_the_weights():
    one, other = Judge(1, 16, 10, EVEN), Judge(1, 16, 10, EVEN)
    other.load_state_dict(one.state_dict())
    assert one.weights_digest == other.weights_digest
    with torch.no_grad():
        other.head.bias[3] += 1e-3
    assert one.weights_digest != other.weights_digest
    assert len(one.weights_digest) == 64


def test_features_are_what_the_logits_are_made_of(judge):
    images = to_unit(torch.from_numpy(digits()[2][:5]))
    with torch.inference_mode():
        features = judge.features(images)
        assert features.shape == (5, 84)
        torch.testing.assert_close(features @ judge.head.weight.T + judge.head.bias, judge(images))


@pytest.mark.parametrize("side", [16, 28, 40])
def test_images_of_any_size_are_brought_to_the_size_of_the_judge(side):
    torch.manual_seed(0)
    judge = Judge(3, 16, 4, (0,)).eval()
    grey = torch.full((2, 3, side, side), 0.25)
    with torch.inference_mode():
        torch.testing.assert_close(
            judge(grey), judge(torch.full((2, 3, 16, 16), 0.25)), atol=1e-5, rtol=1e-5
        )
    assert judge(grey).shape == (2, 4)


def test_predicted_classes_do_not_depend_on_the_batch_size(judge):
    images = digits()[2]
    expected = predicted_classes(judge, images, 100)
    with torch.inference_mode():
        assert expected.tolist() == judge(to_unit(torch.from_numpy(images))).argmax(1).tolist()
    for size in (1, 33):
        assert predicted_classes(judge, images, size).tolist() == expected.tolist()


def test_batches_are_slices_in_the_unit_range_of_images_that_stay_as_they_were():
    images = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 2, 2), dtype=np.uint8
    )
    parts = list(batches(images, 3, "cpu"))
    assert [len(part) for part in parts] == [3, 3, 1]
    np.testing.assert_allclose(torch.cat(parts)[:, 0, 0, 0], np.arange(7) / 127.5 - 1, atol=1e-6)
    assert images[6, 0, 0, 0] == 6


def test_an_image_is_normal_if_its_most_probable_class_is():
    judge = Judge(1, 16, 10, (1, 7))
    assert judged_normal(judge, np.array([0, 1, 7, 9])).tolist() == [False, True, True, False]


class Says(torch.nn.Module):
    """A network that reads the class off the first pixel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = ((images[:, 0, 0, 0] + 1) * 127.5).round().long()
        return torch.nn.functional.one_hot(grey, 10).float()


def says(*predicted: int) -> np.ndarray:
    return np.array(predicted, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 16, 16), dtype=np.uint8
    )


def test_assessment_counts_classes_and_sides_apart():
    judge = Judge(1, 16, 10, EVEN)
    judge.features, judge.head = lambda images: images, Says()
    # Normal images: right, wrong but normal, wrong and sensitive, right.
    # Sensitive images: right, wrong but sensitive, wrong but sensitive.
    test, heldout = says(0, 4, 1, 8), says(3, 5, 5)
    report = assess_judge(
        judge, ImageSet(test), np.array([0, 2, 2, 8]), ImageSet(heldout), np.array([3, 7, 1]), "cpu"
    )
    assert report["accuracy"] == pytest.approx(3 / 7)
    assert report["normal_recall"] == 3 / 4
    assert report["sensitive_recall"] == 1
    assert (report["num_normal"], report["num_sensitive"]) == (4, 3)
    report = assess_judge(
        judge, ImageSet(test), np.zeros(4), ImageSet(says(2, 3, 4, 5)), np.ones(4), "cpu"
    )
    assert report["sensitive_recall"] == 0.5
