import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS, WITHOUT_BETA
from pu_diffusion_pipeline.positive_unlabeled.scores import (
    Scores,
    _folds,
    cross_fitted_scores,
    resolve_model,
    same_images,
)


def noise_images(count: int, seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, side, side), dtype=np.uint8)


def bright_images(count: int, seed: int) -> np.ndarray:
    return 128 + noise_images(count, seed) // 2


def scores(labeled_sensitive, unlabeled, **options) -> Scores:
    usual = {"num_folds": 2, "num_components": 16, "num_epochs": 5, "seed": 0, "model": "mlp"}
    return cross_fitted_scores(labeled_sensitive, unlabeled, **{**usual, **options})


def auc(result: Scores) -> float:
    truth = np.repeat([1, 0], [len(result.labeled_sensitive), len(result.unlabeled)])
    return roc_auc_score(truth, np.concatenate(result))


def same(one: Scores, other: Scores) -> bool:
    return all(left.tolist() == right.tolist() for left, right in zip(one, other, strict=True))


def test_sets_that_differ_are_told_apart():
    result = scores(bright_images(60, 1), noise_images(200, 2))
    assert auc(result) > 0.99
    assert result.labeled_sensitive.shape == (60,)
    assert result.unlabeled.shape == (200,)
    assert result.unlabeled.dtype == np.float64


def test_s_is_the_side_with_the_larger_scores():
    result = scores(noise_images(60, 1) // 2, bright_images(200, 2))
    assert result.labeled_sensitive.mean() > 0 > result.unlabeled.mean()


@pytest.mark.parametrize("model", WITHOUT_BETA)
@pytest.mark.parametrize("num_folds", [2, 5])
def test_no_image_is_scored_by_a_model_that_saw_it(num_folds, model):
    """S is drawn from U: a long fit separates what it memorised, and nothing else."""
    images = noise_images(600, 0)
    result = scores(
        images[:300],
        images[300:],
        num_folds=num_folds,
        num_components=64,
        num_epochs=60 if model == "mlp" else 20,
        model=model,
    )
    assert abs(auc(result) - 0.5) < 0.08


@pytest.mark.parametrize("model", WITHOUT_BETA)
def test_every_model_tells_sets_apart_and_gives_the_same_scores_again(model):
    labeled, unlabeled = bright_images(60, 1), noise_images(200, 2)
    result = scores(labeled, unlabeled, model=model, num_epochs=8)
    assert auc(result) > 0.95
    assert same(result, scores(labeled, unlabeled, model=model, num_epochs=8))


def test_tedn_does_not_hold_hidden_sensitive_images_for_unlabelled_ones():
    """A model of S against all of U gives them a logit of -log(share) only."""
    labeled, unlabeled = (
        bright_images(200, 1),
        np.concatenate([bright_images(200, 2), noise_images(300, 3)]),
    )
    of_hidden = {
        model: np.median(scores(labeled, unlabeled, model=model, num_epochs=20).unlabeled[:200])
        for model in ("mlp", "tedn")
    }
    assert of_hidden["tedn"] > of_hidden["mlp"] + 1


def test_logits_stay_apart_where_a_single_precision_probability_is_1():
    centres = np.repeat([[-3.0], [3.0]], 50, axis=0)
    features = (centres + np.random.default_rng(0).normal(size=(100, 4))).astype(np.float32)
    score, _arrays = SCORE_MODELS["mlp"].fit(features, centres[:, 0] > 0, 50, 0, None)
    logits = score(features * 2)
    assert logits.max() > 17
    assert len(set(logits.tolist())) == 100


def test_an_unknown_model_is_refused_naming_the_known_ones():
    with pytest.raises(
        InvalidInput,
        match=r"^model must be one of auto, mlp, svm, tedn, cnn, logistic, got 'forest'",
    ):
        scores(noise_images(30, 1), noise_images(30, 2), model="forest")


@pytest.mark.slow
def test_features_of_an_encoder_take_the_place_of_pixels(imagenet):
    result = scores(bright_images(24, 1), noise_images(40, 2), encoder=imagenet, num_epochs=20)
    assert auc(result) > 0.95
    assert not same(result, scores(bright_images(24, 1), noise_images(40, 2)))


def test_an_encoder_that_gives_no_numbers_is_refused(imagenet, tmp_path):
    state = torch.load(imagenet)
    state["conv1.weight"] = torch.full_like(state["conv1.weight"], float("nan"))
    torch.save(state, tmp_path / "damaged.pth")
    with pytest.raises(InvalidInput, match="encoder: expected finite features"):
        scores(bright_images(2, 1), noise_images(2, 2), encoder=str(tmp_path / "damaged.pth"))


def test_an_encoder_does_not_go_with_a_model_that_reads_images(imagenet):
    with pytest.raises(InvalidInput, match="encoder does not go with model cnn"):
        scores(bright_images(24, 1), noise_images(40, 2), encoder=imagenet, model="cnn")


def test_principal_components_of_many_images_are_fitted_on_a_part(monkeypatch):
    monkeypatch.setattr("pu_diffusion_pipeline.positive_unlabeled.features.MOST_FOR_PCA", 100)
    monkeypatch.setattr("pu_diffusion_pipeline.positive_unlabeled.features.SLICE", 64)
    assert auc(scores(bright_images(60, 1), noise_images(400, 2))) > 0.95


def test_hidden_sensitive_images_score_like_s_although_they_are_labelled_u():
    hidden, normal = bright_images(60, 1), noise_images(300, 2)
    result = scores(bright_images(60, 3), np.concatenate([hidden, normal]))
    of_hidden, of_normal = np.split(result.unlabeled, [60])
    assert np.median(of_hidden) > np.quantile(of_normal, 0.99)
    assert (
        abs(np.median(of_hidden) - np.median(result.labeled_sensitive))
        < np.ptp(result.unlabeled) / 10
    )


def test_same_seed_gives_the_same_scores_and_another_seed_others():
    labeled, unlabeled = noise_images(40, 1), noise_images(80, 2)
    assert same(scores(labeled, unlabeled, seed=3), scores(labeled, unlabeled, seed=3))
    assert not same(scores(labeled, unlabeled, seed=3), scores(labeled, unlabeled, seed=4))


def test_scores_neither_depend_on_global_random_state_nor_change_it():
    labeled, unlabeled = noise_images(40, 1), noise_images(80, 2)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        results.append(scores(labeled, unlabeled))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]
    assert same(*results)


@pytest.mark.parametrize(("num_labeled", "folds"), [(999, 10), (1000, 2)])
def test_auto_means_two_folds_from_1000_images_in_s_and_else_ten(num_labeled, folds):
    labeled, unlabeled = noise_images(num_labeled, 1, side=4), noise_images(1000, 2, side=4)
    options = {"num_components": 4, "num_epochs": 1}
    assert same(
        scores(labeled, unlabeled, num_folds="auto", **options),
        scores(labeled, unlabeled, num_folds=folds, **options),
    )


@pytest.mark.parametrize(("num_images", "model"), [(5_000, "svm"), (5_001, "mlp")])
def test_auto_means_svm_for_up_to_5000_images(num_images, model):
    assert resolve_model("auto", num_images) == model


def test_auto_is_the_model_that_it_names():
    labeled, unlabeled = noise_images(40, 1), noise_images(80, 2)
    assert same(scores(labeled, unlabeled, model="auto"), scores(labeled, unlabeled, model="svm"))


def test_large_images_are_averaged_down_to_32_pixels():
    labeled, unlabeled = noise_images(40, 1, side=32), noise_images(80, 2, side=32)
    large = [images.repeat(2, axis=2).repeat(2, axis=3) for images in (labeled, unlabeled)]
    assert same(scores(labeled, unlabeled), scores(*large))


def test_fewer_images_than_components_are_scored_too():
    result = scores(noise_images(6, 1), noise_images(8, 2), num_components=50, num_epochs=1)
    assert np.isfinite(np.concatenate(result)).all()
    assert len(set(np.concatenate(result).tolist())) == 14


def test_copies_share_a_fold_and_others_are_spread_as_without_them():
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    alone = same_images(images[:10], images[10:])
    assert alone.tolist() == list(range(40))
    labeled = np.repeat(images[:10], 3, axis=0)
    unlabeled = np.concatenate([images[10:], images[:2], images[20:25]])
    twins = same_images(labeled, unlabeled)
    fold = _folds(twins, len(labeled), 5, 0)
    assert (fold[:30].reshape(10, 3) == fold[:30:3, None]).all()
    assert fold[30:].tolist() == [*fold[30:60], fold[0], fold[3], *fold[40:45]]
    assert np.bincount(fold[:30:3]).tolist() == [2] * 5
    plain = _folds(alone, 10, 5, 0)
    assert fold[:30:3].tolist() == plain[:10].tolist()
    assert fold[30:60].tolist() == plain[10:].tolist()
