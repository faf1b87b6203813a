"""Distances between samples and real images on deep features, through torch-fidelity.

FD is the Frechet distance (Heusel et al. 2017; called FID on Inception features only), KID the
kernel distance (Binkowski et al. 2018), precision and recall those of Kynkaanniemi et al. (2019).
"""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.digests import digest, digest_of_file
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.images.weights import read_tensors, weights_file
from pu_diffusion_pipeline.metrics.judge import Judge
from pu_diffusion_pipeline.metrics.options import EvaluationOptions


class Features(NamedTuple):
    """Deep features of images, and what they were computed with and from.

    Attributes:
        values: (N, D) float32.
        extractor: name of the network.
        weights_digest: sha256 of the network's weights.
        images_digest: sha256 of the images.
    """

    values: np.ndarray
    extractor: str
    weights_digest: str
    images_digest: str = ""

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `features.npy` and `extractor.json` into a new folder."""
        folder = Path(folder)
        folder.mkdir(parents=True)
        np.save(folder / "features.npy", self.values, allow_pickle=False)
        origin = {name: value for name, value in self._asdict().items() if name != "values"}
        (folder / "extractor.json").write_text(json.dumps(origin, indent=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Features":
        """Read what `save_pretrained` wrote."""
        folder = Path(folder)
        values = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        return cls(values, **json.loads((folder / "extractor.json").read_text()))


class Extractor(NamedTuple):
    """A network that computes deep features.

    Attributes:
        name: for records.
        weights_digest: sha256 of its weights.
        open: device to the network, which maps (B, C, H, W) uint8 on that device to (B, D) float32.
            Weights are read only then.
    """

    name: str
    weights_digest: str
    open: Callable[[str], Callable[[Tensor], Tensor]]


def build_extractor(kind: str, judge: Judge, inception_weights: str | None) -> Extractor:
    """Choose the network that computes features.

    Args:
        kind: `judge` or `inception`.
        judge: the judge; only `judge` uses it.
        inception_weights: file of torch-fidelity's Inception weights; None downloads them.
    """
    if kind == "judge":
        return Extractor(
            f"judge ({judge.backbone.title})",
            judge.weights_digest,
            lambda device: _judge_on(judge, device),
        )
    path = inception_weights_file(inception_weights)
    sha = digest_of_file(path)
    return Extractor("inception-v3-compat 2048", sha, lambda device: _inception_on(path, device))


def _judge_on(judge: Judge, device: str) -> Callable[[Tensor], Tensor]:
    judge = judge.to(device)
    return lambda images: judge.features(to_unit(images))


def _inception_on(path: Path, device: str) -> Callable[[Tensor], Tensor]:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(path)
    ).to(device)

    def features(images: Tensor) -> Tensor:
        colours = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        return network(colours)[0]

    return features


@torch.inference_mode()
def extract_features(
    images: np.ndarray, extractor: Extractor, batch_size: int, device: str
) -> Features:
    """Deep features of images.

    Args:
        images: (N, C, H, W) uint8.
        extractor: the network.
        batch_size: images at a time.
        device: cuda, mps or cpu.
    """
    network = extractor.open(device)
    values = []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        values.append(network(batch).cpu().numpy())
    features = np.concatenate(values)
    return Features(features, extractor.name, extractor.weights_digest, digest(images))


def features_of(
    images: np.ndarray, judge: Judge, options: EvaluationOptions, device: str
) -> Features:
    """Deep features of images by the extractor that the options name.

    Args:
        images: (N, C, H, W) uint8.
        judge: the judge, for its own features.
        options: which extractor, and images at a time.
        device: cuda, mps or cpu.
    """
    extractor = build_extractor(options.features, judge, options.inception_weights)
    return extract_features(images, extractor, options.batch_size, device)


def inception_weights_file(path: str | None) -> Path:
    """The Inception weights: the given file, or torch-fidelity's download in torch's cache.

    Raises:
        InvalidInput: no such file, no network, or a file that holds more than tensors.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    field = "evaluation.inception_weights"
    file = weights_file(path, URL_INCEPTION_V3, field, "use evaluation.features: judge")
    # torch-fidelity unpickles without restriction: refuse a file that holds more than tensors.
    read_tensors(file, field)
    return file


def _as_tensors(*parts: Features) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(part.values, dtype=np.float64)) for part in parts]


def frechet_distance(samples: Features, reference: Features) -> float:
    """The Frechet distance alone; see `distances`."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(part) for part in _as_tensors(samples, reference)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])


def distances(
    samples: Features,
    reference: Features,
    *,
    kid_subsets: int,
    kid_subset_size: int,
    neighborhood: int,
) -> dict[str, float | int | str]:
    """Frechet distance, KID, precision and recall of samples against real images.

    Args:
        samples: features of generated images.
        reference: features of real normal images, by the same extractor.
        kid_subsets: number of random subsets that KID is averaged over.
        kid_subset_size: images in each subset.
        neighborhood: k of precision and recall.

    Raises:
        InvalidInput: the extractors differ or there are too few images.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    _check_comparable(samples, reference, max(2, kid_subset_size, neighborhood + 1))
    generated, real = _as_tensors(samples, reference)
    common = {"verbose": False, "save_cpu_ram": True, "rng_seed": 2020, "prc_batch_size": 1_000}
    kid = kid_features_to_metric(
        generated, real, kid_subsets=kid_subsets, kid_subset_size=kid_subset_size, **common
    )
    shares = prc_features_to_metric(generated, real, prc_neighborhood=neighborhood, **common)
    return {
        "frechet_distance": frechet_distance(samples, reference),
        "kernel_distance": kid["kernel_inception_distance_mean"],
        "kernel_distance_sd": kid["kernel_inception_distance_std"],
        "precision": float(shares["precision"]),
        "recall": float(shares["recall"]),
        "extractor": samples.extractor,
        "weights_digest": samples.weights_digest,
        "num_samples": len(samples.values),
        "num_reference": len(reference.values),
        "kid_subsets": kid_subsets,
        "kid_subset_size": kid_subset_size,
        "neighborhood": neighborhood,
        "torch_fidelity": version("torch-fidelity"),
    }


def _check_comparable(samples: Features, reference: Features, smallest: int) -> None:
    """Refuse features of two extractors, and sets of fewer than `smallest` images."""
    ours = (samples.extractor, samples.weights_digest)
    theirs = (reference.extractor, reference.weights_digest)
    if ours != theirs:
        raise InvalidInput(f"features of two extractors do not compare: {ours} and {theirs}")
    for name, part in (("samples", samples), ("test images", reference)):
        if len(part.values) < smallest:
            raise InvalidInput(f"{len(part.values)} {name} are too few for these distances")
