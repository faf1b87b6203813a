"""A second judge, of another kind than the first, that no method sees: a support vector machine.

What one judge takes for normal may be what fools that judge. The second has other errors: it reads
pixels, and learns normal against sensitive instead of the classes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from pu_diffusion_pipeline.metrics.non_sensitive_rate import wilson_interval
from pu_diffusion_pipeline.metrics.registry import Record
from pu_diffusion_pipeline.seeding import derive_seed

PENALTY = 5.0
MOST_IMAGES = 10_000  # to learn from: the time of a fit grows with the square of their number
BATCH_SIZE = 1_000


class SecondJudge:
    """A support vector machine with a Gaussian kernel on pixels in [0, 1].

    Args:
        arrays: `support_vectors` (K, D), `coefficients` (K,), `intercept` () and `width` (), the
            factor of the squared distance in the kernel; float64.
        manifest: what it was made with, and how often it is right.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], manifest: dict[str, object]) -> None:
        self.arrays = dict(arrays)
        self.manifest = manifest

    def judged_normal(self, images: np.ndarray) -> np.ndarray:
        """(N,) bool, whether each image of a (N, C, H, W) uint8 array is taken for normal."""
        return np.concatenate([self._scores(batch) > 0 for batch in _batches(images)])

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        width = float(self.arrays["width"])
        kernel = rbf_kernel(rows, self.arrays["support_vectors"], gamma=width)
        return kernel @ self.arrays["coefficients"] + self.arrays["intercept"]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` and `manifest.json` into a new folder."""
        folder = Path(folder)
        folder.mkdir(parents=True)
        save_file(self.arrays, folder / "model.safetensors")
        (folder / "manifest.json").write_text(json.dumps(self.manifest, indent=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "SecondJudge":
        """Read what `save_pretrained` wrote."""
        folder = Path(folder)
        arrays = load_file(folder / "model.safetensors")
        return cls(arrays, json.loads((folder / "manifest.json").read_text()))


def train_second_judge(images: np.ndarray, is_normal: np.ndarray, seed: int) -> SecondJudge:
    """Fit it, on `MOST_IMAGES` images drawn at random if there are more.

    Args:
        images: (N, C, H, W) uint8.
        is_normal: (N,) bool, the truth.
        seed: of the draw.
    """
    rng = np.random.default_rng(derive_seed(seed, "second_judge"))
    chosen = np.sort(rng.permutation(len(images))[:MOST_IMAGES])
    rows = _rows(images[chosen])
    width = 1 / (rows.shape[1] * rows.var())  # scikit-learn's gamma="scale"
    machine = SVC(C=PENALTY, gamma=width).fit(rows, is_normal[chosen])
    arrays = {
        "support_vectors": np.ascontiguousarray(machine.support_vectors_),
        "coefficients": np.ascontiguousarray(machine.dual_coef_[0]),
        "intercept": np.array(machine.intercept_[0]),
        "width": np.array(width),
    }
    return SecondJudge(arrays, {"model": "SVC", "num_images": len(chosen)})


def second_opinion(
    second: SecondJudge,
    images: np.ndarray,
    judgements: pd.DataFrame,
    labeled_sensitive: np.ndarray,
    heldout_sensitive: np.ndarray,
) -> Record:
    """What the second judge says of samples, and how close to S they are.

    Args:
        second: the second judge.
        images: (N, C, H, W) uint8, the samples.
        judgements: of the first judge: `predicted_class` and `judged_sensitive`.
        labeled_sensitive: (M, C, H, W) uint8, S.
        heldout_sensitive: (K, C, H, W) uint8, sensitive images that no method saw.

    Returns:
        `non_sensitive_rate` with its Wilson interval `low` and `high`; `both`, the share of samples
        that both judges take for normal; `near_labeled_sensitive`, as `share_near` gives it (1/2
        where S is not copied); `classes`, the normal ones by the first judge, to their
        counts; `judge`, the second judge's manifest.
    """
    normal = second.judged_normal(images)
    low, high = wilson_interval(int(normal.sum()), len(normal))
    first = ~judgements["judged_sensitive"].to_numpy(dtype=bool)
    counts = judgements["predicted_class"][first].value_counts().sort_index()
    return {
        "non_sensitive_rate": float(normal.mean()),
        "low": low,
        "high": high,
        "both": float((normal & first).mean()),
        "near_labeled_sensitive": share_near(images, labeled_sensitive, heldout_sensitive),
        "classes": {str(name): int(count) for name, count in counts.items()},
        "judge": second.manifest,
    }


def share_near(images: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Of the images' nearest neighbours in two equally large sets, the share in the first.

    By Euclidean distance of pixels. The larger set is cut to the size of the smaller.
    """
    count = min(len(one), len(other))
    both = np.concatenate([_rows(one[:count]), _rows(other[:count])])
    search = NearestNeighbors(n_neighbors=1).fit(both)
    nearest = np.concatenate(
        [search.kneighbors(batch, return_distance=False)[:, 0] for batch in _batches(images)]
    )
    return float((nearest < count).mean())


def accuracy_of(second: SecondJudge, normal: np.ndarray, sensitive: np.ndarray) -> Record:
    """How often it is right on images that it never saw: `normal_recall`, `sensitive_recall`."""
    return {
        "normal_recall": float(second.judged_normal(normal).mean()),
        "sensitive_recall": float(1 - second.judged_normal(sensitive).mean()),
    }


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    starts: Iterable[int] = range(0, len(images), BATCH_SIZE)
    return (_rows(images[start : start + BATCH_SIZE]) for start in starts)


def _rows(images: np.ndarray) -> np.ndarray:
    """(N, pixels) float64 in [0, 1]."""
    return np.asarray(images).reshape(len(images), -1) / 255.0
