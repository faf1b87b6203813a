"""Score models that are convolutional networks on small images; torch is loaded at their first use.

See `score_models.ScoreModel` for the arguments and results of fits.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BATCH_SIZE = 256
WIDTHS = (32, 64)
SHAPES: dict[str, tuple[int | str, ...]] = {
    "0.weight": (WIDTHS[0], "c", 3, 3),
    "0.bias": (WIDTHS[0],),
    "2.weight": (WIDTHS[1], WIDTHS[0], 3, 3),
    "2.bias": (WIDTHS[1],),
    "5.weight": (1, "flat"),
    "5.bias": (1,),
}
Score = Callable[[np.ndarray], np.ndarray]
Arrays = Mapping[str, np.ndarray]


def cnn(
    features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int, beta: float | None
) -> tuple[Score, Arrays]:
    """Two convolutions of stride 2, then a linear layer, class-balanced."""
    import torch
    from torch import nn

    targets = torch.from_numpy(is_labeled).float()
    loss = nn.BCEWithLogitsLoss(pos_weight=(1 - targets).sum() / targets.sum())

    def batches(generator: "torch.Generator") -> "list[Tensor]":
        return list(torch.randperm(len(features), generator=generator).split(BATCH_SIZE))

    return _fitted(
        features, num_epochs, seed, batches, lambda logits, rows: loss(logits, targets[rows])
    )


def nnpu(
    features: np.ndarray, is_labeled: np.ndarray, num_epochs: int, seed: int, beta: float | None
) -> tuple[Score, Arrays]:
    """The network of `cnn` with the non-negative PU risk (Kiryo et al. 2017, Eq. 6, Algorithm 1).

    The loss is the logistic one, so the logit estimates that of P(sensitive | x in U). Every batch
    has its share of S.
    """
    import torch
    from torch.nn.functional import softplus

    from pu_diffusion_pipeline.positive_unlabeled.risk import Risks, masked_mean, non_negative

    if beta is None:
        raise ValueError("nnpu needs beta")
    labeled = torch.from_numpy(is_labeled)
    sets = [torch.nonzero(labeled == kind).ravel() for kind in (True, False)]
    num_batches = -(-len(features) // BATCH_SIZE)

    def batches(generator: "torch.Generator") -> "list[Tensor]":
        drawn = [rows[torch.randperm(len(rows), generator=generator)] for rows in sets]
        parts = [rows.tensor_split(num_batches) for rows in drawn]
        return [torch.cat(pair) for pair in zip(*parts, strict=True)]

    def risk(logits: "Tensor", rows: "Tensor") -> "Tensor":
        in_labeled = labeled[rows]
        risks = Risks(
            sensitive_positive=masked_mean(softplus(-logits), in_labeled),
            unlabeled_negative=masked_mean(softplus(logits), ~in_labeled),
            sensitive_negative=masked_mean(softplus(logits), in_labeled),
        )
        return non_negative(risks, beta)

    return _fitted(features, num_epochs, seed, batches, risk)


def restore(arrays: Arrays) -> Score:
    """The network with these weights."""
    import torch

    model = _convolutions(arrays["0.weight"].shape[1], arrays["5.weight"].shape[1], 0)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})

    @torch.inference_mode()
    def score(part: np.ndarray) -> np.ndarray:
        logits = [model(rows) for rows in torch.from_numpy(part).split(4096)]
        return torch.cat(logits).double().numpy()

    return score


def flat_length(image_size: int) -> int:
    """Inputs of the last layer, after two strides of 2."""
    return WIDTHS[1] * (-(-image_size // 4)) ** 2


def _fitted(
    features: np.ndarray,
    num_epochs: int,
    seed: int,
    batches: "Callable[[torch.Generator], list[Tensor]]",
    loss: "Callable[[Tensor, Tensor], Tensor]",
) -> tuple[Score, Arrays]:
    """Train with AdamW.

    Args:
        features: (n, C, h, w) float32.
        num_epochs: passes over them.
        seed: of initial weights and batches.
        batches: the rows of each batch of an epoch.
        loss: (logits, rows) to a scalar.
    """
    import torch

    model = _convolutions(features.shape[1], flat_length(features.shape[-1]), seed)
    images = torch.from_numpy(features)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_epochs):
        for rows in batches(generator):
            optimizer.zero_grad()
            loss(model(images[rows]), rows).backward()
            optimizer.step()
    arrays = {name: weight.numpy() for name, weight in model.state_dict().items()}
    return restore(arrays), arrays


def _convolutions(channels: int, num_flat: int, seed: int) -> "nn.Module":
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, WIDTHS[0], 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(*WIDTHS, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(num_flat, 1),
            nn.Flatten(0),
        )
