"""What the classifier of sensitivity is good for besides looking: cleaning U, filtering samples.

Dropping from U what is probably sensitive is what most people do first. It leaves a smaller share
behind, which the positive-unlabeled risk can then take care of: `Cleaned.beta`.
"""

import math
from typing import NamedTuple

import numpy as np

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier

FEWEST = 0.1  # share of U that must be left


class Cleaned(NamedTuple):
    """What is left of U.

    Attributes:
        rows: of the images that are kept, in U's order.
        beta: share of sensitive images among them, by the classifier's probabilities.
        record: counts and shares, before and after.
    """

    rows: np.ndarray
    beta: float
    record: dict[str, object]


def clean(classifier: SensitivityClassifier, positions: np.ndarray, probability: float) -> Cleaned:
    """Leave out the images of U that are sensitive with at least some probability.

    The probability of each image is by models that did not see it (cross-fitted).

    Args:
        classifier: fitted on U.
        positions: (N,) of U's images in their source, in U's order.
        probability: from which on an image is left out.

    Raises:
        InvalidInput: U has another number of images, or almost nothing would be left.
    """
    probabilities = in_order_of(classifier, positions)
    kept = np.flatnonzero(probabilities < probability)
    if len(kept) < FEWEST * len(positions):
        raise InvalidInput(
            f"cleaning.probability {probability} leaves {len(kept)} of {len(positions)} images of "
            "U; expected a value at which more are left"
        )
    beta = float(probabilities[kept].mean())
    record = {"num_images": len(positions), "num_kept": len(kept), "probability": probability}
    return Cleaned(kept, beta, {**record, "beta_before": classifier.beta, "beta_after": beta})


def in_order_of(classifier: SensitivityClassifier, positions: np.ndarray) -> np.ndarray:
    """(N,) float64, P(sensitive) of each image of U, by models that did not see it, in U's order.

    Args:
        classifier: fitted on U.
        positions: (N,) of U's images in their source, in U's order.

    Raises:
        InvalidInput: U has another number of images.
    """
    of_unlabeled = classifier.unlabeled_probabilities
    if len(of_unlabeled) != len(positions):
        raise InvalidInput(
            f"sensitivity: the classifier was fitted on {len(of_unlabeled)} images of U, but there "
            f"are {len(positions)}; fit it anew"
        )
    probabilities = np.empty(len(positions))
    probabilities[np.argsort(positions, kind="stable")] = of_unlabeled  # its order is this one
    return probabilities


def num_to_draw(num_images: int, share: float) -> int:
    """Of how many samples a share can be dropped so that enough are left."""
    return math.ceil(num_images / (1 - share) - 1e-9)  # 1,800 / 0.9 is 2,000


def least_sensitive(
    classifier: SensitivityClassifier, images: np.ndarray, num_kept: int
) -> np.ndarray:
    """(num_kept,) rows of the images with the smallest probability of being sensitive, in order.

    Args:
        classifier: of sensitivity.
        images: (n, C, H, W) uint8.
        num_kept: how many; the first of equals.
    """
    suspicious = np.argsort(classifier.probabilities(images), kind="stable")
    return np.sort(suspicious[:num_kept])
