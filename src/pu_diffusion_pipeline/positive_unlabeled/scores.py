"""Cross-fitted scores of S versus U: every image is scored by a model that was not trained on it.

A score that grows with P(S | x) keeps all that the estimation of the class prior needs (Jain et al. 2016).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pu_diffusion_pipeline.seeding import derive_seed, numpy_generator

LARGE = 1_000  # images in S from which two folds are enough
MAX_SIDE = 32  # larger images are averaged down before PCA


class Scores(NamedTuple):
    """Out-of-fold scores, larger for images that look more like S.

    Attributes:
        labeled_sensitive: (M,) float64.
        unlabeled: (N,) float64.
    """

    labeled_sensitive: np.ndarray
    unlabeled: np.ndarray


def cross_fitted_scores(
    labeled_sensitive: np.ndarray,
    unlabeled: np.ndarray,
    *,
    num_folds: int | str,
    num_components: int,
    num_epochs: int,
    seed: int,
) -> Scores:
    """Logits of a class-balanced MLP (256-128) on whitened principal components.

    Args:
        labeled_sensitive: S, (M, C, H, W) uint8.
        unlabeled: U, (N, C, H, W) uint8.
        num_folds: number of folds, or `auto`: 2 for M >= 1,000, else 5.
        num_components: principal components of S and U together.
        num_epochs: passes of each fit; few, since a long fit memorises S.
        seed: seed of folds, initial weights and batches.
    """
    num_labeled = len(labeled_sensitive)
    if num_folds == "auto":
        num_folds = 2 if num_labeled >= LARGE else 5
    features = _features(np.concatenate([_small(labeled_sensitive), _small(unlabeled)]), num_components, seed)
    is_labeled = torch.arange(len(features)) < num_labeled
    fold = torch.from_numpy(_folds(num_labeled, len(unlabeled), int(num_folds), seed))
    logits = torch.empty(len(features))
    for held_out in range(int(num_folds)):
        fit, rest = fold != held_out, fold == held_out
        model = _fit(features[fit], is_labeled[fit], num_epochs, derive_seed(seed, "score_model", held_out))
        with torch.inference_mode():
            logits[rest] = model(features[rest]).squeeze(1)
    values = logits.double().numpy()
    return Scores(values[:num_labeled], values[num_labeled:])


def _small(images: np.ndarray) -> np.ndarray:
    """(N, D) float32 in [0, 1]; images above MAX_SIDE are averaged over blocks."""
    step = max(1, -(-images.shape[-1] // MAX_SIDE))
    side = images.shape[-1] // step * step
    blocks = images[:, :, :side, :side].reshape(*images.shape[:2], side // step, step, side // step, step)
    return blocks.mean(axis=(3, 5), dtype=np.float32).reshape(len(images), -1) / 255.0


def _features(flat: np.ndarray, num_components: int, seed: int) -> Tensor:
    from sklearn.decomposition import PCA

    num_components = min(num_components, *flat.shape)
    pca = PCA(num_components, whiten=True, svd_solver="randomized", random_state=derive_seed(seed, "pca"))
    return torch.from_numpy(pca.fit_transform(flat).astype(np.float32))


def _folds(num_labeled: int, num_unlabeled: int, num_folds: int, seed: int) -> np.ndarray:
    """(M + N,) fold numbers, S and U spread evenly over the folds."""
    rng = numpy_generator(seed, "folds")
    return np.concatenate([rng.permutation(np.arange(count) % num_folds) for count in (num_labeled, num_unlabeled)])


def _fit(features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int, batch_size: int = 256) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(features.shape[1], 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1)
        )
    generator = torch.Generator().manual_seed(seed)
    targets = is_labeled.float()
    balance = (1 - targets).sum() / targets.sum()  # S and U weigh the same
    loss = nn.BCEWithLogitsLoss(pos_weight=balance)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(num_epochs):
        for rows in torch.randperm(len(features), generator=generator).split(batch_size):
            optimizer.zero_grad()
            loss(model(features[rows]).squeeze(1), targets[rows]).backward()
            optimizer.step()
    return model.eval()
