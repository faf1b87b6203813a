"""The share of sensitive images in a set, beta, from features that you have computed.

python examples/class_prior.py                               # digits of scikit-learn
python examples/class_prior.py --unlabeled U.npy --sensitive S.npy

Each file holds one row of numbers per image, (N, features), such as embeddings of an image encoder.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import pu_diffusion_pipeline as pu
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels of U, of whose 700 digits 70 are zeros, and of S, 100 other zeros."""
    pixels, classes = load_digits(return_X_y=True)
    zeros, others = pixels[classes == 0], pixels[classes != 0]
    return np.concatenate([zeros[:70], others[:630]]), zeros[70:170]


def estimate(unlabeled: np.ndarray, sensitive: np.ndarray) -> None:
    """Print the estimate, its bound and its warnings.

    Args:
        unlabeled: (N, features).
        sensitive: (M, features).
    """
    features = np.concatenate([sensitive, unlabeled])
    is_sensitive = np.arange(len(features)) < len(sensitive)
    classifier = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
    # Any classifier will do, if it scores images that it was not trained on.
    scores = cross_val_predict(classifier, features, is_sensitive, cv=5, method="decision_function")
    prior = pu.estimate_class_prior(
        Scores(labeled_sensitive=scores[is_sensitive], unlabeled=scores[~is_sensitive])
    )
    print(f"beta {prior.estimate}, below {prior.upper:.3f} with a probability of 0.9")
    for warning in prior.warnings:
        print(f"warning: {warning}")


def main(arguments: list[str] | None = None) -> None:
    """Read two files, or take the digits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--unlabeled", type=Path, help="features of unlabeled images, .npy")
    parser.add_argument("--sensitive", type=Path, help="features of sensitive images, .npy")
    options = parser.parse_args(arguments)
    if (options.unlabeled is None) != (options.sensitive is None):
        parser.error("expected both --unlabeled and --sensitive, or neither")
    if options.unlabeled is None:
        estimate(*digits())
    else:
        estimate(np.load(options.unlabeled), np.load(options.sensitive))


if __name__ == "__main__":
    main()
