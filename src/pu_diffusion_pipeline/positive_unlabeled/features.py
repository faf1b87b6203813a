"""Features of images that the score models read: principal components, or small images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.score_models import SCORE_MODELS
from pu_diffusion_pipeline.seeding import derive_seed, numpy_generator

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

MAX_SIDE = 32  # larger images are averaged down
MOST_FOR_PCA = 10_000  # images that the principal components are fitted on
SLICE = 2_048  # images in memory as floats at a time
ENCODED = 64  # of them in the encoder at a time
ENCODED_LENGTH = 512  # features of an encoded image
Encode = Callable[[np.ndarray], np.ndarray]  # (n, C, H, W) uint8 to (n, D) float32
Sets = tuple[np.ndarray, np.ndarray]  # S and U, (N, C, H, W) uint8 each


class Features(Protocol):
    """A map of (n, C, H, W) uint8 images to what a score model reads, float32."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """What `restore_features` makes it from again."""
        ...

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, d), or (n, C, h, w) for models that read images."""
        ...


def fit_features(
    sets: Sets,
    model: str,
    *,
    encoder: str | None,
    num_components: int,
    seed: int,
) -> Features:
    """What a score model reads: principal components of S and U together, or small images.

    Args:
        sets: S and U.
        model: one of `SCORE_MODELS`.
        encoder: file of torchvision's ResNet-34 weights for ImageNet, whose features take the
            place of pixels.
        num_components: principal components.
        seed: of the components.

    Raises:
        InvalidInput: an encoder for a model that reads images, no such encoder, features that are
            not finite.
    """
    kind = SCORE_MODELS[model]
    if kind.reads_images and encoder is not None:
        raise InvalidInput(f"encoder does not go with model {model}, which reads images")
    if kind.reads_images:
        return SmallImages()
    encode = load_encoder(encoder) if encoder else pixel_encode
    return _fit_components(sets, num_components, kind.whitened, seed, encode)


def restore_features(model: str, arrays: Mapping[str, np.ndarray], encode: Encode) -> Features:
    """The features with these arrays.

    Args:
        model: one of `SCORE_MODELS`.
        arrays: of features that were fitted for it.
        encode: what their principal components are of.
    """
    from sklearn.decomposition import PCA

    kind = SCORE_MODELS[model]
    if kind.reads_images:
        return SmallImages()
    pca = PCA(len(arrays["components"]), whiten=kind.whitened)
    pca.components_ = arrays["components"]
    pca.mean_ = arrays["mean"]
    pca.explained_variance_ = arrays["variance"]
    return Components(pca, encode)


@dataclass(frozen=True)
class SmallImages:
    """(n, C, h, w) float32 in [0, 1]; images above MAX_SIDE are averaged over blocks."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """None: nothing is fitted."""
        return {}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """See the class."""
        return np.concatenate(list(_slices(images, _small)))


@dataclass(frozen=True)
class Components:
    """(n, d) float32 principal components.

    Attributes:
        pca: fitted.
        encode: what they are components of.
    """

    pca: "PCA"
    encode: Encode

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Components (d, p), mean (p,), variance of each component (d,)."""
        return {
            "components": self.pca.components_,
            "mean": self.pca.mean_,
            "variance": self.pca.explained_variance_,
        }

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """See the class."""
        parts = [self.pca.transform(part) for part in _slices(images, self.encode)]
        return np.concatenate(parts).astype(np.float32)


def pixel_encode(images: np.ndarray) -> np.ndarray:
    """(n, D) float32: pixels of reduced images."""
    return _small(images).reshape(len(images), -1)


def small_side(image_size: int) -> int:
    """The side that `SmallImages` gives images of a size."""
    return image_size // max(1, -(-image_size // MAX_SIDE))


def load_encoder(path: str) -> Encode:
    """Images to (n, 512) float32, features of the encoder in a file.

    Raises:
        InvalidInput: no such file, or weights of something else.
    """
    import torch

    from pu_diffusion_pipeline.images.encoders import (
        IMAGENET_SIZE,
        ResNet34,
        load_imagenet_weights,
        resized,
    )
    from pu_diffusion_pipeline.images.transforms import to_unit

    encoder = ResNet34()
    load_imagenet_weights(encoder, path, "encoder", "leave it out")
    encoder.eval()

    @torch.inference_mode()
    def features(images: np.ndarray) -> np.ndarray:
        batches = to_unit(torch.from_numpy(images)).split(ENCODED)
        encoded = torch.cat([encoder(resized(rows, IMAGENET_SIZE)) for rows in batches])
        if not torch.isfinite(encoded).all():
            raise InvalidInput("encoder: expected finite features, got some that are not")
        return encoded.numpy()

    return features


def _small(images: np.ndarray) -> np.ndarray:
    """(N, C, h, w) float32 in [0, 1]; images above MAX_SIDE are averaged over blocks."""
    step = max(1, -(-images.shape[-1] // MAX_SIDE))
    side = images.shape[-1] // step * step
    blocks = images[:, :, :side, :side].reshape(
        *images.shape[:2], side // step, step, side // step, step
    )
    return blocks.mean(axis=(3, 5), dtype=np.float32) / 255.0


def _slices(images: np.ndarray, encode: Encode) -> Iterator[np.ndarray]:
    """Encoded images, some at a time."""
    for start in range(0, len(images), SLICE):
        yield encode(np.ascontiguousarray(images[start : start + SLICE]))


def _fit_components(
    sets: Sets, num_components: int, whitened: bool, seed: int, encode: Encode
) -> Components:
    """Fitted on a random part if there are many images."""
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
    return Components(pca, encode)


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
