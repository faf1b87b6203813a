"""The probability that an image is sensitive, learned from U and S alone.

Score models of S versus U are cross-fitted, several times over other folds, and their scores are
calibrated with beta, the share of sensitive images in U. An image of U is scored by the models
that were not trained on it. A new image is scored by the models of every fold, and each of these
scores is as if the image had been held out of that fold: the same calibration serves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.digests import digest_of_file
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.options import in_section
from pu_diffusion_pipeline.positive_unlabeled.best_bin import FEWEST
from pu_diffusion_pipeline.positive_unlabeled.calibration import Calibration, calibrate
from pu_diffusion_pipeline.positive_unlabeled.class_prior import check_sets
from pu_diffusion_pipeline.positive_unlabeled.features import (
    Encode,
    fit_features,
    load_encoder,
    pixel_encode,
    restore_features,
)
from pu_diffusion_pipeline.positive_unlabeled.options import SensitivityOptions
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS, Arrays
from pu_diffusion_pipeline.positive_unlabeled.scores import cross_fit, resolve_model, same_images
from pu_diffusion_pipeline.seeding import derive_seed

SECTION = "sensitivity"  # of parameters.yml
IMAGES = 2_048  # scored at a time


class Encoder(NamedTuple):
    """Whose features take the place of pixels.

    Attributes:
        path: file of torchvision's ResNet-34 weights.
        digest: its sha256.
    """

    path: str
    digest: str


@dataclass(frozen=True)
class SensitivityClassifier:
    """P(sensitive | x) for images of U, out of fold, and for new images.

    Attributes:
        model: one of `SCORE_MODELS`.
        image_shape: (C, H, W) of the images.
        beta: share of sensitive images in U that the probabilities rest on.
        encoder: None: pixels.
        feature_arrays: of `features.Features`.
        models: the arrays of each fold's model, for each repeat.
        repeated_scores: out-of-fold scores of S, (R, M), and of U, (R, N), of each repeat.
        calibration: from the mean score over repeats to the probability.
        manifest: what it was made with, as `manifest.json` holds it.
    """

    model: str
    image_shape: tuple[int, int, int]
    beta: float
    encoder: Encoder | None
    feature_arrays: Arrays
    models: Sequence[Sequence[Arrays]]
    repeated_scores: Scores
    calibration: Calibration
    manifest: Mapping[str, object] = field(default_factory=dict)

    @property
    def scores(self) -> Scores:
        """Out-of-fold scores of S (M,) and U (N,): means over the repeats."""
        return Scores(*(part.mean(axis=0) for part in self.repeated_scores))

    @property
    def unlabeled_probabilities(self) -> np.ndarray:
        """(N,) float64, P(sensitive) of each image of U, by models that it did not train."""
        return self.calibration(self.scores.unlabeled)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """P(sensitive) of new images, as if they were drawn as U was: the mean over the folds.

        Args:
            images: (n, C, H, W) uint8, of the size that the classifier was fitted on. For images of
                U use `unlabeled_probabilities`: these models have seen them.

        Returns:
            (n,) float64.

        Raises:
            InvalidInput: images of another size; the encoder is missing or another one.
        """
        return self.calibration(self.fold_scores(images).mean(axis=0)).mean(axis=0)

    def fold_scores(self, images: np.ndarray) -> np.ndarray:
        """(R, K, n) float64, the score of each new image by each repeat's model of each fold.

        Arguments and errors as for `probabilities`.
        """
        _check_images(images, self.image_shape)
        features = restore_features(self.model, self.feature_arrays, self._encode())
        restore = SCORE_MODELS[self.model].restore
        scorers = [restore(arrays) for repeat in self.models for arrays in repeat]
        parts: list[list[np.ndarray]] = []
        for start in range(0, len(images), IMAGES):
            rows = features(images[start : start + IMAGES])
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                parts.append([score(rows) for score in scorers])
        scores = np.concatenate([np.stack(part) for part in parts], axis=1).reshape(
            len(self.models), -1, len(images)
        )
        _refuse_nonfinite(scores, self.model)
        return scores

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors`, `config.json` and `manifest.json` into a new folder.

        The weights of an encoder are not written. The support vectors of `svm` are principal
        components of training images, which can be made visible again.
        """
        from pu_diffusion_pipeline.positive_unlabeled.classifier_files import save

        save(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "SensitivityClassifier":
        """Read what `save_pretrained` wrote.

        Raises:
            InvalidInput: a file is missing, damaged, or holds something else. Nothing is unpickled.
        """
        from pu_diffusion_pipeline.positive_unlabeled.classifier_files import load

        return load(Path(folder))

    def _encode(self) -> Encode:
        if self.encoder is None:
            return pixel_encode
        path = Path(self.encoder.path)
        if path.is_file() and digest_of_file(path) != self.encoder.digest:
            raise InvalidInput(
                f"{SECTION}.encoder: {path} is not the file that the classifier was fitted with "
                f"(sha256 {self.encoder.digest[:12]}...); put that one there, or fit it anew"
            )
        return load_encoder(self.encoder.path)


@in_section(SECTION, SensitivityOptions)
def fit_classifier(
    labeled_sensitive: np.ndarray,
    unlabeled: np.ndarray,
    beta: float,
    options: SensitivityOptions,
    seed: int,
) -> SensitivityClassifier:
    """Fit the classifier.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8.
        beta: share of sensitive images in U, given or estimated (`choose_beta`).
        options: model, folds, repeats.
        seed: the run's seed.

    Raises:
        InvalidInput: beta is not between 0 and 1, S has too few images or is part of U, an encoder
            that cannot be used, scores that are not finite.
    """
    _check_fit(labeled_sensitive, unlabeled, beta)
    sets = (labeled_sensitive, unlabeled)
    model = resolve_model(options.model, sum(map(len, sets)), tuple(SCORE_MODELS))
    seeds = [derive_seed(seed, SECTION, repeat) for repeat in range(options.repeats)]
    features = fit_features(
        sets,
        model,
        encoder=options.encoder,
        num_components=options.num_components,
        seed=seeds[0],
    )
    rows = np.concatenate([features(images) for images in sets])
    how = (same_images(*sets), len(labeled_sensitive), model, options.folds, options.num_epochs)
    fits = [cross_fit(rows, *how, one, beta) for one in seeds]
    repeated = Scores(*(np.stack(part) for part in zip(*(fit.scores for fit in fits), strict=True)))
    for part in repeated:
        _refuse_nonfinite(part, model)
    return SensitivityClassifier(
        model=model,
        image_shape=(unlabeled.shape[1], unlabeled.shape[2], unlabeled.shape[3]),
        beta=beta,
        encoder=_encoder_of(options.encoder),
        feature_arrays=_in_order(features.arrays),
        models=[[_in_order(model) for model in fit.models] for fit in fits],
        repeated_scores=repeated,
        calibration=calibrate(Scores(*(part.mean(axis=0) for part in repeated)), beta),
    )


def _encoder_of(path: str | None) -> Encoder | None:
    return None if path is None else Encoder(path, digest_of_file(Path(path)))


def review_order(classifier: SensitivityClassifier, positions: np.ndarray) -> pd.DataFrame:
    """The images of U, the most probably sensitive ones first.

    Args:
        classifier: fitted on U.
        positions: (N,) position of each image of U in its source, in the order of the fit.

    Returns:
        Columns position, probability and score (mean out-of-fold score).

    Raises:
        InvalidInput: U has another number of images.
    """
    if len(positions) != len(classifier.scores.unlabeled):
        raise InvalidInput(
            f"{SECTION}: the classifier was fitted on {len(classifier.scores.unlabeled)} images of "
            f"U, but there are {len(positions)}; fit it anew"
        )
    columns = {
        "position": positions,
        "probability": classifier.unlabeled_probabilities,
        "score": classifier.scores.unlabeled,
    }
    table = pd.DataFrame(columns)
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _in_order(arrays: Arrays) -> Arrays:
    """As they are saved: another order in memory gives other bits."""
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _check_fit(labeled_sensitive: np.ndarray, unlabeled: np.ndarray, beta: float) -> None:
    if not 0 < beta < 1:
        raise InvalidInput(
            f"{SECTION}: beta must be between 0 and 1, got {beta}; give a number, or estimate it"
        )
    if len(labeled_sensitive) < FEWEST:
        raise InvalidInput(
            f"{SECTION}: S has {len(labeled_sensitive)} images; the classifier needs at least "
            f"{FEWEST}"
        )
    check_sets(labeled_sensitive, unlabeled)


def _refuse_nonfinite(scores: np.ndarray, model: str) -> None:
    if not np.isfinite(scores).all():
        raise InvalidInput(
            f"{SECTION}: the model {model} gives scores that are not finite; fit another one"
        )


def _check_images(images: np.ndarray, image_shape: tuple[int, int, int]) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != image_shape or len(images) == 0:
        raise InvalidInput(
            f"{SECTION}: the classifier was fitted on images {image_shape} uint8, got "
            f"{len(images)} of {images.shape[1:]} {images.dtype}; fit it on images of this size"
        )
