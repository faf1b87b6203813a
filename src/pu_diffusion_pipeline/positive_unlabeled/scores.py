"""Cross-fitted scores of S versus U: every image is scored by a model that was not trained on it.

A score that grows with P(S | x) keeps all that the estimation of the class prior needs
(Jain et al. 2016).
"""

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS, ScoreModel
from pu_diffusion_pipeline.seeding import derive_seed, numpy_generator

LARGE = 1_000  # images in S from which two folds are enough; below, fits on more of S err less
MOST_FOR_SVM = 5_000  # images of S and U together; its time grows with their square
MAX_SIDE = 32  # larger images are averaged down
MOST_FOR_PCA = 10_000  # images that the principal components are fitted on
SLICE = 2_048  # images in memory as floats at a time
ENCODED = 64  # of them in the encoder at a time
Encode = Callable[[np.ndarray], np.ndarray]  # (n, C, H, W) uint8 to (n, D) float32


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
        model: one of `score_models.SCORE_MODELS`, or `auto` (see `resolve_model`).
        encoder: file of torchvision's ResNet-34 weights for ImageNet, whose features take the
            place of pixels.

    Raises:
        InvalidInput: unknown model, no such encoder, features that are not finite.
    """
    sets = (labeled_sensitive, unlabeled)
    num_labeled = len(labeled_sensitive)
    kind = SCORE_MODELS[resolve_model(model, num_labeled + len(unlabeled))]
    if kind.reads_images and encoder is not None:
        raise InvalidInput(
            f"class_prior.encoder does not go with class_prior.model {model}, which reads images"
        )
    if num_folds == "auto":
        num_folds = 2 if num_labeled >= LARGE else 10
    if kind.reads_images:
        features = _small_images(sets)
    else:
        encode = _encoder(encoder) if encoder else _pixels
        features = _components(sets, num_components, kind.whitened, seed, encode)
    fold = _folds(num_labeled, len(unlabeled), int(num_folds), seed)
    logits = _held_out_logits(kind, features, num_labeled, fold, num_epochs, seed)
    return Scores(logits[:num_labeled], logits[num_labeled:])


def resolve_model(model: str, num_images: int) -> str:
    """Replace `auto` by the model that errs least: svm up to 5,000 images of S and U, else mlp.

    Raises:
        InvalidInput: unknown model.
    """
    if model == "auto":
        return "svm" if num_images <= MOST_FOR_SVM else "mlp"
    if model not in SCORE_MODELS:
        raise InvalidInput(f"model must be one of auto, {', '.join(SCORE_MODELS)}, got {model!r}")
    return model


def _held_out_logits(
    kind: ScoreModel,
    features: np.ndarray,
    num_labeled: int,
    fold: np.ndarray,
    num_epochs: int,
    seed: int,
) -> np.ndarray:
    """(M + N,) float64, each row's logit from the model of its fold; nan where none was fitted."""
    is_labeled = np.arange(len(features)) < num_labeled
    logits = np.full(len(features), np.nan)
    for number in range(int(fold.max()) + 1):
        train = fold != number
        held_out = fold == number
        # With one image in S, a fold has none to fit on; `estimate_class_prior` refuses it later.
        if is_labeled[train].any() and held_out.any():
            model_seed = derive_seed(seed, "score_model", number)
            score = kind.fit(features[train], is_labeled[train], num_epochs, model_seed)
            logits[held_out] = score(features[held_out])
    return logits


def _small_images(sets: tuple[np.ndarray, ...]) -> np.ndarray:
    """(M + N, C, h, w) float32."""
    side = _small(sets[0][:1]).shape[-2:]
    flat = np.concatenate([part for images in sets for part in _slices(images, _pixels)])
    return flat.reshape(len(flat), -1, *side)


def _small(images: np.ndarray) -> np.ndarray:
    """(N, C, h, w) float32 in [0, 1]; images above MAX_SIDE are averaged over blocks."""
    step = max(1, -(-images.shape[-1] // MAX_SIDE))
    side = images.shape[-1] // step * step
    blocks = images[:, :, :side, :side].reshape(
        *images.shape[:2], side // step, step, side // step, step
    )
    return blocks.mean(axis=(3, 5), dtype=np.float32) / 255.0


def _pixels(images: np.ndarray) -> np.ndarray:
    """(n, D) float32: pixels of reduced images."""
    return _small(images).reshape(len(images), -1)


def _encoder(path: str) -> Encode:
    """Images to (n, 512) float32, features of the encoder in a file."""
    import torch

    from pu_diffusion_pipeline.images.encoders import (
        IMAGENET_SIZE,
        ResNet34,
        load_imagenet_weights,
        resized,
    )
    from pu_diffusion_pipeline.images.transforms import to_unit

    encoder = ResNet34()
    load_imagenet_weights(encoder, path, "class_prior.encoder", "set it to null")
    encoder.eval()

    @torch.inference_mode()
    def features(images: np.ndarray) -> np.ndarray:
        batches = to_unit(torch.from_numpy(images)).split(ENCODED)
        encoded = torch.cat([encoder(resized(rows, IMAGENET_SIZE)) for rows in batches])
        if not torch.isfinite(encoded).all():
            raise InvalidInput(
                "class_prior.encoder: expected finite features, got some that are not"
            )
        return encoded.numpy()

    return features


def _slices(images: np.ndarray, encode: Encode) -> Iterator[np.ndarray]:
    """(n, D) float32, some images at a time."""
    for start in range(0, len(images), SLICE):
        yield encode(np.ascontiguousarray(images[start : start + SLICE]))


def _components(
    sets: tuple[np.ndarray, ...], num_components: int, whitened: bool, seed: int, encode: Encode
) -> np.ndarray:
    """(M + N, d) principal components, fitted on a random part if there are many images."""
    from sklearn.decomposition import PCA

    total = sum(len(part) for part in sets)
    chosen = np.zeros(total, dtype=bool)
    chosen[numpy_generator(seed, "pca").permutation(total)[:MOST_FOR_PCA]] = True
    in_labeled, in_unlabeled = np.split(chosen, [len(sets[0])])
    slices = chain(_slices(sets[0][in_labeled], encode), _slices(sets[1][in_unlabeled], encode))
    sample = _filled(int(chosen.sum()), slices)
    pca = PCA(
        min(num_components, *sample.shape),
        whiten=whitened,
        svd_solver="randomized",
        random_state=derive_seed(seed, "pca"),
        copy=False,
    ).fit(sample)
    components = [pca.transform(part) for images in sets for part in _slices(images, encode)]
    return np.concatenate(components).astype(np.float32)


def _filled(count: int, slices: Iterator[np.ndarray]) -> np.ndarray:
    """The slices below one another, without a second copy of all of them."""
    first = next(slices)
    rows = np.empty((count, first.shape[1]), dtype=np.float32)
    rows[: len(first)] = first
    done = len(first)
    for part in slices:
        rows[done : done + len(part)] = part
        done += len(part)
    return rows


def _folds(num_labeled: int, num_unlabeled: int, num_folds: int, seed: int) -> np.ndarray:
    """(M + N,) fold numbers, S and U spread evenly over the folds."""
    rng = numpy_generator(seed, "folds")
    return np.concatenate(
        [rng.permutation(np.arange(count) % num_folds) for count in (num_labeled, num_unlabeled)]
    )
