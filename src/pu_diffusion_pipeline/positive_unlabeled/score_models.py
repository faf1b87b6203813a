"""Models that tell S from U on features of the images; a larger score looks more like S.

What a fit finds is kept as arrays, from which the model is made again: nothing is pickled.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pu_diffusion_pipeline.positive_unlabeled import score_networks
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores, ratio_curve

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

BATCH_SIZE = 256
HIDDEN = (256, 128)
SVM_PENALTY = 0.3  # soft, since U holds sensitive images too: docs/class_prior.md
Arrays = Mapping[str, np.ndarray]
Score = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray, int, int, float | None], tuple[Score, Arrays]]


class ScoreModel(NamedTuple):
    """A kind of model.

    Attributes:
        fit: (features (n, ...), is_labeled (n,) bool, num_epochs, seed, beta) to a function that
            maps (m, ...) features to (m,) logits, and the arrays that `restore` needs.
        restore: the arrays to such a function. It gives the same logits, those of `svm` within
            1e-6.
        shapes: of the arrays; a letter stands for any length, `d` for the number of components and
            `c` for the images' channels.
        reads_images: whether its features are small images, (n, C, h, w), instead of principal
            components, (n, d).
        whitened: whether the components are scaled to unit variance; else they keep the images'
            distances.
        needs_beta: whether a fit needs the share of sensitive images in U; the others ignore it.
    """

    fit: Fit
    restore: Callable[[Arrays], Score]
    shapes: Mapping[str, tuple[int | str, ...]]
    reads_images: bool = False
    whitened: bool = True
    needs_beta: bool = False


def _mlp(
    features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int, beta: float | None
) -> tuple[Score, Arrays]:
    """Class-balanced MLP 256-128 (scikit-learn)."""
    model = _network(seed)
    _train(model, features, is_labeled, num_epochs)
    return _fitted_mlp(model)


def _tedn(
    features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int, beta: float | None
) -> tuple[Score, Arrays]:
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
        logits, _arrays = _fitted_mlp(model)
        held = Scores(logits(held_labeled), logits(held_unlabeled))
        share = ratio_curve(held).best(delta=0.1)[0]
        num_kept = len(unlabeled) - int(min(share, 1.0) * len(unlabeled))
        kept = unlabeled[np.argsort(logits(features[unlabeled]), kind="stable")[:num_kept]]
        chosen = np.concatenate([labeled, kept])
        if num_kept:
            _train(model, features[chosen], is_labeled[chosen], 1)
    return _fitted_mlp(model)


def _logistic(
    features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int, beta: float | None
) -> tuple[Score, Arrays]:
    """Class-balanced logistic regression (scikit-learn), to convergence."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(features, is_labeled)
    arrays = {"weight": model.coef_.T, "bias": model.intercept_}
    return _restore_logistic(arrays), arrays


def _restore_logistic(arrays: Arrays) -> Score:
    return lambda features: (features @ arrays["weight"] + arrays["bias"]).ravel()


def _svm(
    features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int, beta: float | None
) -> tuple[Score, Arrays]:
    """Class-balanced support vector machine with Gaussian kernel (scikit-learn), to convergence.

    Its scores are margins.
    """
    from sklearn.svm import SVC

    variance = float(features.astype(np.float64).var())
    gamma = 1 / (features.shape[1] * variance) if variance else 1.0  # scikit-learn's `scale`
    model = SVC(C=SVM_PENALTY, class_weight="balanced", gamma=gamma).fit(features, is_labeled)
    arrays = {
        "support_vectors": model.support_vectors_,
        "weight": model.dual_coef_[0],
        "bias": model.intercept_,
        "gamma": np.array([gamma]),
    }
    return model.decision_function, arrays


def _restore_svm(arrays: Arrays) -> Score:
    from sklearn.metrics.pairwise import rbf_kernel

    gamma = float(arrays["gamma"][0])

    def score(features: np.ndarray) -> np.ndarray:
        near = rbf_kernel(features.astype(np.float64), arrays["support_vectors"], gamma)
        return near @ arrays["weight"] + arrays["bias"]

    return score


def _network(seed: int) -> "MLPClassifier":
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(HIDDEN, random_state=np.random.RandomState(seed))


def _train(
    model: "MLPClassifier", features: np.ndarray, is_labeled: np.ndarray, num_epochs: int
) -> None:
    """Train for some more epochs; S and U weigh the same."""
    weights = np.where(is_labeled, (~is_labeled).sum() / is_labeled.sum(), 1.0)
    model.set_params(batch_size=min(BATCH_SIZE, len(features)))
    for _ in range(num_epochs):
        model.partial_fit(features, is_labeled, classes=[False, True], sample_weight=weights)


def _fitted_mlp(model: "MLPClassifier") -> tuple[Score, Arrays]:
    """The network as it is now; further training changes the arrays."""
    arrays = {f"weight_{layer}": weight for layer, weight in enumerate(model.coefs_)}
    arrays |= {f"bias_{layer}": bias for layer, bias in enumerate(model.intercepts_)}
    return _restore_mlp(arrays), arrays


def _restore_mlp(arrays: Arrays) -> Score:
    """In double precision, where a probability rounds to 1 only from a logit of 37."""
    from scipy.special import expit, logit

    def score(features: np.ndarray) -> np.ndarray:
        values = features.astype(np.float64)
        for layer in range(len(HIDDEN)):
            values = values @ arrays[f"weight_{layer}"] + arrays[f"bias_{layer}"]
            values = np.maximum(values, 0)
        last = len(HIDDEN)
        probabilities = expit(values @ arrays[f"weight_{last}"] + arrays[f"bias_{last}"]).ravel()
        return logit(np.clip(probabilities, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))

    return score


MLP_SHAPES: dict[str, tuple[int | str, ...]] = {
    "weight_0": ("d", HIDDEN[0]),
    "bias_0": (HIDDEN[0],),
    "weight_1": HIDDEN,
    "bias_1": (HIDDEN[1],),
    "weight_2": (HIDDEN[1], 1),
    "bias_2": (1,),
}
SCORE_MODELS: dict[str, ScoreModel] = {
    "mlp": ScoreModel(_mlp, _restore_mlp, MLP_SHAPES),
    "svm": ScoreModel(
        _svm,
        _restore_svm,
        {"support_vectors": ("n", "d"), "weight": ("n",), "bias": (1,), "gamma": (1,)},
        whitened=False,
    ),
    "tedn": ScoreModel(_tedn, _restore_mlp, MLP_SHAPES),
    "cnn": ScoreModel(
        score_networks.cnn, score_networks.restore, score_networks.SHAPES, reads_images=True
    ),
    "logistic": ScoreModel(_logistic, _restore_logistic, {"weight": ("d", 1), "bias": (1,)}),
    "nnpu": ScoreModel(
        score_networks.nnpu,
        score_networks.restore,
        score_networks.SHAPES,
        reads_images=True,
        needs_beta=True,
    ),
}
WITHOUT_BETA = tuple(name for name, kind in SCORE_MODELS.items() if not kind.needs_beta)
