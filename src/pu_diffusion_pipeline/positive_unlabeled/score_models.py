"""Models that tell S from U on features of the images; a larger score looks more like S."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier
    from torch import nn

BATCH_SIZE = 256
SVM_PENALTY = 0.3  # soft, since U holds sensitive images too: docs/class_prior.md
Model = Callable[[np.ndarray], np.ndarray]


class ScoreModel(NamedTuple):
    """A kind of model.

    Attributes:
        fit: (features (n, ...), is_labeled (n,) bool, num_epochs, seed) to a model that maps
            (m, ...) features to (m,) logits.
        reads_images: whether its features are small images, (n, C, h, w), instead of principal
            components, (n, d).
        whitened: whether the components are scaled to unit variance; else they keep the images'
            distances.
    """

    fit: Callable[[np.ndarray, np.ndarray, int, int], Model]
    reads_images: bool = False
    whitened: bool = True


def _mlp(features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int) -> Model:
    """Class-balanced MLP 256-128 (scikit-learn)."""
    model = _network(seed)
    _train(model, features, is_labeled, num_epochs)
    return lambda part: _logits(model, part)


def _tedn(features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int) -> Model:
    """TED^n (Garg et al. 2021).

    After a warm-up, each epoch leaves out the share of U that looks most like S (CVIR). That share
    is estimated on a fifth of the rows, which the model does not train on.
    """
    model = _network(seed)
    held_out = np.arange(len(features)) % 5 == 0
    rows = np.flatnonzero(~held_out)
    labeled = rows[is_labeled[rows]]
    unlabeled = rows[~is_labeled[rows]]
    held_labeled = features[held_out & is_labeled]
    held_unlabeled = features[held_out & ~is_labeled]
    _train(model, features[rows], is_labeled[rows], num_epochs)
    for _ in range(num_epochs):
        held = Scores(_logits(model, held_labeled), _logits(model, held_unlabeled))
        share = ratio_curve(held).best(delta=0.1)[0]
        num_kept = len(unlabeled) - int(min(share, 1.0) * len(unlabeled))
        kept = unlabeled[np.argsort(_logits(model, features[unlabeled]), kind="stable")[:num_kept]]
        chosen = np.concatenate([labeled, kept])
        if num_kept:
            _train(model, features[chosen], is_labeled[chosen], 1)
    return lambda part: _logits(model, part)


def _logistic(features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int) -> Model:
    """Class-balanced logistic regression (scikit-learn), to convergence."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    return model.fit(features, is_labeled).decision_function


def _svm(features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int) -> Model:
    """Class-balanced support vector machine with Gaussian kernel (scikit-learn), to convergence.

    Its scores are margins.
    """
    from sklearn.svm import SVC

    model = SVC(C=SVM_PENALTY, class_weight="balanced")
    return model.fit(features, is_labeled).decision_function


def _cnn(features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int) -> Model:
    """Two convolutions of stride 2, then a linear layer, class-balanced."""
    import torch
    from torch import nn

    model = _convolutions(features.shape[1], features.shape[-1], seed)
    images = torch.from_numpy(features)
    targets = torch.from_numpy(is_labeled).float()
    loss = nn.BCEWithLogitsLoss(pos_weight=(1 - targets).sum() / targets.sum())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_epochs):
        for rows in torch.randperm(len(images), generator=generator).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss(model(images[rows]), targets[rows]).backward()
            optimizer.step()

    @torch.inference_mode()
    def score(part: np.ndarray) -> np.ndarray:
        logits = [model(rows) for rows in torch.from_numpy(part).split(4096)]
        return torch.cat(logits).double().numpy()

    return score


def _convolutions(channels: int, size: int, seed: int) -> "nn.Module":
    import torch
    from torch import nn

    side = -(-size // 4)  # after two strides of 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * side * side, 1),
            nn.Flatten(0),
        )


SCORE_MODELS: dict[str, ScoreModel] = {
    "mlp": ScoreModel(_mlp),
    "svm": ScoreModel(_svm, whitened=False),
    "tedn": ScoreModel(_tedn),
    "cnn": ScoreModel(_cnn, reads_images=True),
    "logistic": ScoreModel(_logistic),
}


def _network(seed: int) -> "MLPClassifier":
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((256, 128), random_state=np.random.RandomState(seed))


def _train(
    model: "MLPClassifier", features: np.ndarray, is_labeled: np.ndarray, num_epochs: int
) -> None:
    """Train for some more epochs; S and U weigh the same."""
    weights = np.where(is_labeled, (~is_labeled).sum() / is_labeled.sum(), 1.0)
    model.set_params(batch_size=min(BATCH_SIZE, len(features)))
    for _ in range(num_epochs):
        model.partial_fit(features, is_labeled, classes=[False, True], sample_weight=weights)


def _logits(model: "MLPClassifier", features: np.ndarray) -> np.ndarray:
    """In double precision, where a probability rounds to 1 only from a logit of 37."""
    from scipy.special import logit

    probabilities = model.predict_proba(features.astype(np.float64))[:, 1]
    return logit(np.clip(probabilities, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))
