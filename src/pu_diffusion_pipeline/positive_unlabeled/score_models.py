"""Models that tell S from U on features of the images; a larger score looks more like S."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve

BATCH_SIZE = 256
SVM_PENALTY = 0.3  # soft, since U holds sensitive images too: docs/class_prior.md
Model = Callable[[Tensor], Tensor]


class ScoreModel(NamedTuple):
    """A kind of model.

    Attributes:
        fit: (features (n, ...), is_labeled (n,) bool, num_epochs, seed) to a model from (m, ...) to (m,) logits.
        reads_images: whether it wants small images, (n, C, h, w), instead of principal components, (n, d).
        whitened: whether those are scaled to unit variance; else they keep the images' distances.
    """

    fit: Callable[[Tensor, Tensor, int, int], Model]
    reads_images: bool = False
    whitened: bool = True


def _mlp(features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int) -> Model:
    """Class-balanced MLP 256-128."""
    model = _seeded(seed, lambda: _layers(features.shape[1]))
    _train(model, features, is_labeled, num_epochs, seed)
    return _scorer(model)


def _cnn(features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int) -> Model:
    """Two convolutions of stride 2, then a linear layer."""
    channels, side = features.shape[1], -(-features.shape[-1] // 4)
    model = _seeded(
        seed,
        lambda: nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * side * side, 1),
        ),
    )  # fmt: skip
    _train(model, features, is_labeled, num_epochs, seed)
    return _scorer(model)


def _logistic(features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int) -> Model:
    """Class-balanced logistic regression (scikit-learn), to convergence."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(features.numpy(), is_labeled.numpy())
    return lambda part: torch.from_numpy(model.decision_function(part.numpy()))


def _svm(features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int) -> Model:
    """Class-balanced support vector machine with Gaussian kernel (scikit-learn), to convergence. Gives margins."""
    from sklearn.svm import SVC

    model = SVC(C=SVM_PENALTY, class_weight="balanced")
    model.fit(features.numpy(), is_labeled.numpy())
    return lambda part: torch.from_numpy(model.decision_function(part.numpy()))


def _tedn(features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int) -> Model:
    """TED^n (Garg et al. 2021): after a warm-up, each epoch leaves out the share of U that looks most like S (CVIR).

    That share is estimated on a fifth of the rows, which the model does not train on.
    """
    model = _seeded(seed, lambda: _layers(features.shape[1]))
    inner = torch.arange(len(features)) % 5 == 0
    rows = (~inner).nonzero().squeeze(1)
    _train(model, features[rows], is_labeled[rows], num_epochs, seed)
    score = _scorer(model)
    for epoch in range(num_epochs):
        held = score(features[inner]).double().numpy()
        labels = is_labeled[inner].numpy()
        share = ratio_curve(Scores(held[labels], held[~labels])).best(delta=0.1)[0]
        unlabeled = rows[~is_labeled[rows]]
        num_left_out = int(min(share, 1.0) * len(unlabeled))
        kept = unlabeled[score(features[unlabeled]).argsort()[: len(unlabeled) - num_left_out]]
        chosen = torch.cat([rows[is_labeled[rows]], kept])
        if len(kept):
            _train(model, features[chosen], is_labeled[chosen], 1, seed + 1 + epoch)
    return score


SCORE_MODELS: dict[str, ScoreModel] = {
    "mlp": ScoreModel(_mlp),
    "svm": ScoreModel(_svm, whitened=False),
    "tedn": ScoreModel(_tedn),
    "cnn": ScoreModel(_cnn, reads_images=True),
    "logistic": ScoreModel(_logistic),
}


def _layers(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1))


def _seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _train(model: nn.Module, features: Tensor, is_labeled: Tensor, num_epochs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = is_labeled.float()
    balance = (1 - targets).sum() / targets.sum()  # S and U weigh the same
    loss = nn.BCEWithLogitsLoss(pos_weight=balance)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    model.train()
    for _ in range(num_epochs):
        for rows in torch.randperm(len(features), generator=generator).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss(model(features[rows]).squeeze(1), targets[rows]).backward()
            optimizer.step()
    model.eval()


def _scorer(model: nn.Module) -> Model:
    @torch.inference_mode()
    def score(part: Tensor) -> Tensor:
        return torch.cat([model(rows).squeeze(1) for rows in part.split(4096)]) if len(part) else part.new_zeros(0)

    return score


def is_constant(scores: Scores) -> bool:
    """Whether no score differs from another."""
    return bool(np.ptp(np.concatenate(scores)) == 0)
