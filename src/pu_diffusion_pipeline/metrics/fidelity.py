"""Distances between samples and real images on deep features, through torch-fidelity.

FD is the Frechet distance (Heusel et al. 2017; "FID" only on Inception features), KID the kernel distance (Binkowski et
al. 2018), precision and recall those of Kynkaanniemi et al. 2019.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.weights import read_tensors, weights_file
from pu_diffusion_pipeline.metrics.judge import Judge, batches


class Features(NamedTuple):
    """Features of some images and what made them.

    Attributes:
        values: (N, D) float32.
        extractor: its name.
        weights_digest: sha256 of its weights.
    """

    values: np.ndarray
    extractor: str
    weights_digest: str

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `features.npy` and `extractor.json` into a new folder."""
        folder = Path(folder)
        folder.mkdir(parents=True)
        np.save(folder / "features.npy", self.values, allow_pickle=False)
        origin = {"extractor": self.extractor, "weights_digest": self.weights_digest}
        (folder / "extractor.json").write_text(json.dumps(origin, indent=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Features":
        """Read what `save_pretrained` wrote."""
        folder = Path(folder)
        values = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        return cls(values, **json.loads((folder / "extractor.json").read_text()))


@torch.inference_mode()
def extract_features(
    images: np.ndarray, extractor: str, judge: Judge, inception_weights: str | None, batch_size: int, device: str
) -> Features:
    """Deep features of images.

    Args:
        images: (N, C, H, W) uint8.
        extractor: `judge` or `inception`.
        judge: the judge, for the extractor of that name.
        inception_weights: file of torch-fidelity's Inception weights; None downloads them.
        batch_size: images at a time.
        device: cuda, mps or cpu.
    """
    if extractor == "judge":
        judge = judge.to(device)
        values = [judge.features(batch).cpu().numpy() for batch in batches(images, batch_size, device)]
        return Features(np.concatenate(values), f"judge ({judge.backbone.title})", judge.weights_digest)
    path = inception_weights_file(inception_weights)
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path)).to(device)
    values = []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        batch = batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
        values.append(network(batch)[0].cpu().numpy())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Features(np.concatenate(values), "inception-v3-compat 2048", digest)


def inception_weights_file(path: str | None) -> Path:
    """The Inception weights: the given file, or torch-fidelity's download in torch's cache.

    Raises:
        InvalidInput: no such file, no network, or a file that holds more than tensors.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    field = "evaluation.inception_weights"
    file = weights_file(path, URL_INCEPTION_V3, field, "use evaluation.features: judge")
    read_tensors(file, field)  # torch-fidelity unpickles without restriction: only plain tensors may get that far
    return file


def distances(
    samples: Features, reference: Features, *, kid_subsets: int, kid_subset_size: int, neighborhood: int
) -> dict[str, Any]:
    """Frechet distance, KID, precision and recall of samples against real images.

    Args:
        samples: features of generated images.
        reference: features of real normal images, by the same extractor.
        kid_subsets: subsets that KID is averaged over.
        kid_subset_size: images in each.
        neighborhood: k of precision and recall.

    Raises:
        InvalidInput: the extractors differ or there are too few images.
    """
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    if samples[1:] != reference[1:]:
        raise InvalidInput(f"features of two extractors do not compare: {samples[1:]} and {reference[1:]}")
    for name, part in (("samples", samples), ("test images", reference)):
        if len(part.values) < max(2, kid_subset_size, neighborhood + 1):
            raise InvalidInput(f"{len(part.values)} {name} are too few for these distances")
    generated, real = (torch.from_numpy(np.asarray(part.values, dtype=np.float64)) for part in (samples, reference))
    statistics = [fid_features_to_statistics(part) for part in (generated, real)]
    options = {"verbose": False, "save_cpu_ram": False, "rng_seed": 2020, "prc_batch_size": 10_000}
    kid = kid_features_to_metric(generated, real, kid_subsets=kid_subsets, kid_subset_size=kid_subset_size, **options)
    shares = prc_features_to_metric(generated, real, prc_neighborhood=neighborhood, **options)
    return {
        "frechet_distance": float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]),
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
