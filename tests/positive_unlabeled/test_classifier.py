"""Laws of the classifier, on bright (sensitive) and other images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from pu_diffusion_pipeline.digests import digest_of_file
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.assessment import assess_classifier
from pu_diffusion_pipeline.positive_unlabeled.classifier import (
    Encoder,
    SensitivityClassifier,
    fit_classifier,
    review_order,
)
from pu_diffusion_pipeline.positive_unlabeled.options import SensitivityOptions
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS

HIDDEN = 30
BETA = HIDDEN / 150


def grey_images(count: int, seed: int, level: int = 60, side: int = 8) -> np.ndarray:
    """Noise on a level that varies from image to image."""
    rng = np.random.default_rng(seed)
    levels = rng.normal(level, 15, (count, 1, 1, 1)).clip(0, 190)
    return (levels + rng.integers(0, 64, (count, 1, side, side))).astype(np.uint8)


def bright_images(count: int, seed: int) -> np.ndarray:
    """Some of them look like others."""
    return grey_images(count, seed, level=110)


def options(**changes) -> SensitivityOptions:
    usual = {"model": "svm", "encoder": None, "folds": 3, "repeats": 2, "num_components": 2}
    return SensitivityOptions(
        **{**usual, "num_epochs": 4, "num_resamples": 20, "beta": 0.1, **changes}
    )


def labeled_and_unlabeled() -> tuple[np.ndarray, np.ndarray]:
    """S, and U whose first images are sensitive."""
    hidden, normal = bright_images(HIDDEN, 2), grey_images(150 - HIDDEN, 3)
    return bright_images(40, 1), np.concatenate([hidden, normal])


TRUTH = np.arange(150) < HIDDEN
TEN = grey_images(10, 9)


def fit(seed: int = 0, beta: float = BETA, **changes) -> SensitivityClassifier:
    return fit_classifier(*labeled_and_unlabeled(), beta, options(**changes), seed)


@pytest.fixture(scope="module")
def classifiers() -> dict[str, SensitivityClassifier]:
    epochs = {"nnpu": 60}  # two steps each; it starts from all images being like U
    return {model: fit(model=model, num_epochs=epochs.get(model, 4)) for model in SCORE_MODELS}


@pytest.fixture(params=SCORE_MODELS)
def classifier(request, classifiers) -> SensitivityClassifier:
    return classifiers[request.param]


def test_hidden_sensitive_images_are_found_in_u_and_among_new_ones(classifier):
    assert roc_auc_score(TRUTH, classifier.unlabeled_probabilities) > 0.8
    new = np.concatenate([bright_images(50, 11), grey_images(50, 12)])
    assert roc_auc_score(np.arange(100) < 50, classifier.probabilities(new)) > 0.8


def test_the_mean_probability_over_u_is_beta(classifier):
    assert classifier.unlabeled_probabilities.mean() == pytest.approx(BETA, abs=1e-9)
    assert fit(beta=0.05, folds=2).unlabeled_probabilities.mean() == pytest.approx(0.05, abs=1e-9)


def test_a_saved_classifier_gives_the_same_bits(classifier, tmp_path):
    classifier = replace(classifier, manifest={"settings": {"seed": 0}})
    classifier.save_pretrained(tmp_path / "classifier")
    loaded = SensitivityClassifier.from_pretrained(tmp_path / "classifier")
    new = grey_images(20, 9)
    assert loaded.fold_scores(new).tolist() == classifier.fold_scores(new).tolist()
    assert loaded.probabilities(new).tolist() == classifier.probabilities(new).tolist()
    assert loaded.unlabeled_probabilities.tolist() == classifier.unlabeled_probabilities.tolist()
    assert assess_classifier(loaded, TRUTH) == assess_classifier(classifier, TRUTH)
    assert loaded.manifest == {"settings": {"seed": 0}}
    assert (loaded.model, loaded.beta) == (classifier.model, BETA)


def test_the_score_of_an_image_of_u_is_that_of_the_one_fold_that_did_not_see_it(classifier):
    """Models that are made again score as when they were fitted."""
    labeled, unlabeled = labeled_and_unlabeled()
    for images, out_of_fold in zip((labeled, unlabeled), classifier.repeated_scores, strict=True):
        of_folds = classifier.fold_scores(images)
        assert of_folds.shape == (2, 3, len(images))
        gap = np.abs(of_folds - out_of_fold[:, None]).min(axis=1)
        assert gap.max() < 1e-5
        # Were they scored by all folds, the mean over the folds would be the score.
        assert np.abs(of_folds.mean(axis=1) - out_of_fold).max() > 1e-3


def test_a_new_image_has_the_mean_of_the_probabilities_that_its_folds_give_it(classifiers):
    classifier, new = classifiers["svm"], grey_images(20, 9)
    scores = classifier.fold_scores(new)
    by_hand = [classifier.calibration((scores[0, fold] + scores[1, fold]) / 2) for fold in range(3)]
    np.testing.assert_allclose(classifier.probabilities(new), np.mean(by_hand, axis=0), rtol=1e-12)


def test_new_images_are_scored_the_same_however_many_there_are(classifiers, monkeypatch):
    new = grey_images(20, 9)
    whole = classifiers["svm"].probabilities(new)
    monkeypatch.setattr("pu_diffusion_pipeline.positive_unlabeled.classifier.IMAGES", 7)
    np.testing.assert_allclose(classifiers["svm"].probabilities(new), whole, rtol=1e-5)
    np.testing.assert_allclose(classifiers["svm"].probabilities(new[4:5]), whole[4:5], rtol=1e-5)


def test_new_images_drawn_as_u_was_have_beta_as_their_mean(classifiers):
    new = np.concatenate([bright_images(100, 21), grey_images(400, 22)])
    assert classifiers["svm"].probabilities(new).mean() == pytest.approx(BETA, abs=0.03)


def test_same_seed_gives_the_same_bits_and_another_seed_others(classifiers):
    again, other = fit(seed=0), fit(seed=1)
    first = classifiers["svm"]
    assert again.unlabeled_probabilities.tolist() == first.unlabeled_probabilities.tolist()
    assert again.probabilities(TEN).tolist() == first.probabilities(TEN).tolist()
    assert other.unlabeled_probabilities.tolist() != first.unlabeled_probabilities.tolist()


def test_restored_models_score_as_scikit_learns_do():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 5)).astype(np.float32)
    is_labeled = features[:, 0] + rng.normal(size=120) > 0.5
    new = rng.normal(size=(50, 5)).astype(np.float32)
    machine = SVC(C=0.3, class_weight="balanced").fit(features, is_labeled)
    score, arrays = SCORE_MODELS["svm"].fit(features, is_labeled, 1, 0, None)
    assert score(new).tolist() == machine.decision_function(new).tolist()
    restored = SCORE_MODELS["svm"].restore(arrays)
    np.testing.assert_allclose(restored(new), score(new), atol=1e-6)

    network = MLPClassifier((256, 128), random_state=np.random.RandomState(0), batch_size=120)
    weights = np.where(is_labeled, (~is_labeled).sum() / is_labeled.sum(), 1.0)
    network.partial_fit(features, is_labeled, classes=[False, True], sample_weight=weights)
    probability = network.predict_proba(new.astype(np.float64))[:, 1]
    score, _arrays = SCORE_MODELS["mlp"].fit(features, is_labeled, 1, 0, None)
    np.testing.assert_allclose(1 / (1 + np.exp(-score(new))), probability, rtol=1e-9)


def test_nnpu_gives_the_log_odds_of_a_sensitive_image_of_u():
    """On images that say nothing, P(sensitive | x in U) is beta."""
    images = np.zeros((300, 1, 8, 8), dtype=np.float32)
    is_labeled = np.arange(300) < 100
    score, _arrays = SCORE_MODELS["nnpu"].fit(images, is_labeled, 60, 0, 0.2)
    assert 1 / (1 + np.exp(-score(images)[0])) == pytest.approx(0.2, abs=0.05)


# --- the report and the review --------------------------------------------------------------------


def test_the_review_order_is_by_probability_and_names_the_images(classifier):
    positions = 1000 + np.arange(150)
    table = review_order(classifier, positions)
    assert list(table.columns) == ["position", "probability", "score"]
    assert (np.diff(table["probability"]) <= 0).all()
    assert sorted(table["position"]) == positions.tolist()
    probability = classifier.unlabeled_probabilities[table["position"] - 1000]
    assert table["probability"].tolist() == probability.tolist()
    assert table.index.tolist() == list(range(150))


def test_a_review_of_another_set_is_refused(classifiers):
    with pytest.raises(InvalidInput, match=r"fitted on 150 images of U, but there are 149; fit it"):
        review_order(classifiers["svm"], np.arange(149))


def test_the_report_has_figures_of_the_truth_only_if_it_is_given(classifiers):
    classifier = classifiers["svm"]
    blind, record = assess_classifier(classifier), assess_classifier(classifier, TRUTH)
    assert blind == {name: record[name] for name in blind}
    assert {*record} - {*blind} == {
        *("num_sensitive", "auc_sensitive_against_normal", "calibration", "calibration_error"),
        *("brier_score", "sensitive_among_first"),
    }
    assert blind["mean_probability"] == pytest.approx(BETA)
    probability = classifier.unlabeled_probabilities
    first = TRUTH[np.argsort(-probability, kind="stable")]
    assert record["sensitive_among_first"]["50"] == first[:50].sum()
    assert record["sensitive_among_first"]["200"] == record["num_sensitive"] == HIDDEN
    assert record["brier_score"] == pytest.approx(((probability - TRUTH) ** 2).mean())
    assert record["auc_sensitive_against_normal"] == roc_auc_score(TRUTH, probability)
    scores = np.concatenate(classifier.scores)
    expected = roc_auc_score(np.arange(190) < 40, scores)
    assert record["auc_labeled_against_unlabeled"] == expected


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, float("nan")])
def test_a_beta_that_is_no_share_is_refused(beta):
    with pytest.raises(InvalidInput, match=r"^sensitivity: beta must be between 0 and 1, got"):
        fit(beta=beta)


def test_sets_that_cannot_be_told_apart_by_principle_are_refused():
    labeled, unlabeled = labeled_and_unlabeled()
    with pytest.raises(InvalidInput, match=r"S has 19 images; the classifier needs at least 20"):
        fit_classifier(labeled[:19], unlabeled, BETA, options(), 0)
    with pytest.raises(InvalidInput, match="S must be a sample of its own"):
        fit_classifier(unlabeled[:25], unlabeled, BETA, options(), 0)


@pytest.mark.parametrize(
    "images",
    [grey_images(5, 1, side=16), grey_images(5, 1) / 255, grey_images(0, 1)],
    ids=["size", "type", "none"],
)
def test_images_that_it_was_not_made_for_are_refused(classifiers, images):
    with pytest.raises(InvalidInput, match=r"fitted on images \(1, 8, 8\) uint8, got"):
        classifiers["svm"].probabilities(images)


def test_an_encoder_is_kept_by_name_and_digest(imagenet, monkeypatch, tmp_path):
    monkeypatch.setattr("pu_diffusion_pipeline.images.encoders.IMAGENET_SIZE", 32)
    classifier = fit(encoder=imagenet, folds=2, repeats=1)
    classifier.save_pretrained(tmp_path / "classifier")
    assert sum(file.stat().st_size for file in (tmp_path / "classifier").iterdir()) < 500_000
    loaded = SensitivityClassifier.from_pretrained(tmp_path / "classifier")
    assert loaded.encoder == Encoder(imagenet, digest_of_file(Path(imagenet)))
    assert loaded.probabilities(TEN).tolist() == classifier.probabilities(TEN).tolist()
    other = replace(loaded, encoder=Encoder(imagenet, "0" * 64))
    with pytest.raises(InvalidInput, match=r"sensitivity\.encoder: .* is not the file that the"):
        other.probabilities(TEN)
    gone = replace(loaded, encoder=Encoder(str(tmp_path / "gone.pth"), "0" * 64))
    with pytest.raises(InvalidInput, match=r"encoder: no file .*gone\.pth"):
        gone.probabilities(TEN)


def test_an_encoder_does_not_go_with_a_model_that_reads_images(imagenet):
    with pytest.raises(InvalidInput, match="encoder does not go with model"):
        fit(encoder=imagenet, model="nnpu")
