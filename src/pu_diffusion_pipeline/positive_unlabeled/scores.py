"""Cross-fitted scores of S versus U: every image is scored by a model that was not trained on it.

A score that grows with P(S | x) keeps all that the estimation of the class prior needs
(Jain et al. 2016).
"""

import itertools
from typing import NamedTuple

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.features import fit_features
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.positive_unlabeled.score_models import (
    SCORE_MODELS,
    WITHOUT_BETA,
    Arrays,
)
from pu_diffusion_pipeline.seeding import derive_seed, numpy_generator

LARGE = 1_000  # images in S from which two folds are enough; below, fits on more of S err less
MOST_FOR_SVM = 5_000  # images of S and U together; its time grows with their square


class CrossFit(NamedTuple):
    """A model for each fold, and the scores of the images that it was not trained on.

    Attributes:
        scores: logits (of svm: margins) of S and U.
        models: the arrays of each fold's model.
    """

    scores: Scores
    models: list[Arrays]


def cross_fitted_scores(
    labeled_sensitive: np.ndarray,
    unlabeled: np.ndarray,
    *,
    num_folds: int | str,
    num_components: int,
    num_epochs: int,
    seed: int,
    model: str = "auto",
    encoder: str | None = None,
) -> Scores:
    """Logits (of svm: margins) of a class-balanced model of S versus U.

    Each image's score comes from a fold that it was not in.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8.
        num_folds: number of folds, or `auto`: 2 for M >= 1,000, else 10 (docs/class_prior.md).
        num_components: principal components of S and U together, which all models but `cnn` read.
        num_epochs: passes of each fit; few, since a long fit memorises S.
        seed: seed of folds, initial weights and batches.
        model: one of `score_models.WITHOUT_BETA`, or `auto` (see `resolve_model`).
        encoder: file of torchvision's ResNet-34 weights for ImageNet, whose features take the
            place of pixels.

    Raises:
        InvalidInput: no images, or another shape or type; unknown model, no such encoder, features
            that are not finite, a number that is too small.
    """
    for name, given, least in (
        ("num_folds", num_folds, 2),
        ("num_components", num_components, 1),
        ("num_epochs", num_epochs, 1),
    ):
        if not isinstance(given, str) and given < least:
            raise InvalidInput(f"{name}: expected at least {least}, got {given}")
    _check_images("labeled_sensitive", labeled_sensitive)
    _check_images("unlabeled", unlabeled)
    sets = (labeled_sensitive, unlabeled)
    model = resolve_model(model, len(labeled_sensitive) + len(unlabeled))
    features = fit_features(sets, model, encoder=encoder, num_components=num_components, seed=seed)
    rows = np.concatenate([features(images) for images in sets])
    twins = same_images(*sets)
    return cross_fit(rows, twins, len(labeled_sensitive), model, num_folds, num_epochs, seed).scores


def same_images(labeled_sensitive: np.ndarray, unlabeled: np.ndarray) -> np.ndarray:
    """(M + N,) int64, for each image the row of the first one with the same pixels."""
    first: dict[int, int] = {}
    images = itertools.chain(labeled_sensitive, unlabeled)
    keys = (hash(image.tobytes()) for image in images)
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)])


def _check_images(name: str, images: np.ndarray) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise InvalidInput(
            f"{name}: expected images, (N, C, H, W) uint8, got {images.shape} {images.dtype}"
        )


def cross_fit(
    features: np.ndarray,
    twins: np.ndarray,
    num_labeled: int,
    model: str,
    num_folds: int | str,
    num_epochs: int,
    seed: int,
    beta: float | None = None,
) -> CrossFit:
    """Fit a model for each fold, on all other folds.

    Args:
        features: of S, then of U, (M + N, ...).
        twins: `same_images`; copies share a fold, or the one would teach the score of the other.
        num_labeled: M.
        model: one of `SCORE_MODELS`.
        num_folds: as in `cross_fitted_scores`.
        num_epochs: passes of each fit.
        seed: seed of folds, initial weights and batches.
        beta: share of sensitive images in U, for a model that needs it.
    """
    if num_folds == "auto":
        num_folds = 2 if num_labeled >= LARGE else 10
    is_labeled = np.arange(len(features)) < num_labeled
    fold = _folds(twins, num_labeled, int(num_folds), seed)
    logits = np.full(len(features), np.nan)
    models = []
    for number in range(int(fold.max()) + 1):
        train = fold != number
        held_out = fold == number
        # With one image in S, a fold has none to fit on; `estimate_class_prior` refuses it later.
        if is_labeled[train].any() and held_out.any():
            model_seed = derive_seed(seed, "score_model", number)
            score, arrays = SCORE_MODELS[model].fit(
                features[train], is_labeled[train], num_epochs, model_seed, beta
            )
            logits[held_out] = score(features[held_out])
            models.append(arrays)
    return CrossFit(Scores(logits[:num_labeled], logits[num_labeled:]), models)


def resolve_model(model: str, num_images: int, known: tuple[str, ...] = WITHOUT_BETA) -> str:
    """Replace `auto` by the model that errs least: svm up to 5,000 images of S and U, else mlp.

    Args:
        model: a name, or `auto`.
        num_images: in S and U together.
        known: the names that are allowed.

    Raises:
        InvalidInput: unknown model.
    """
    if model == "auto":
        return "svm" if num_images <= MOST_FOR_SVM else "mlp"
    if model not in known:
        raise InvalidInput(f"model must be one of auto, {', '.join(known)}, got {model!r}")
    return model


def _folds(twins: np.ndarray, num_labeled: int, num_folds: int, seed: int) -> np.ndarray:
    """(M + N,) fold numbers, S and U spread evenly over the folds, copies in one."""
    rng = numpy_generator(seed, "folds")
    rows = np.arange(len(twins))
    fold = np.empty(len(twins), dtype=np.int64)
    for part in (rows < num_labeled, rows >= num_labeled):
        own = rows[part & (twins == rows)]  # one of each image
        fold[own] = rng.permutation(np.arange(len(own)) % num_folds)
    return fold[twins]
