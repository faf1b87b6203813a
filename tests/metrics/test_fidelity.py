import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.metrics.fidelity import (
    Features,
    build_extractor,
    distances,
    extract_features,
    inception_weights_file,
)
from pu_diffusion_pipeline.metrics.judge import Judge


def features(values: np.ndarray, extractor: str = "judge", weights_digest: str = "abc") -> Features:
    return Features(values.astype(np.float32), extractor, weights_digest)


def measure(samples: Features, reference: Features, **changes) -> dict:
    usual = {"kid_subsets": 3, "kid_subset_size": 20, "neighborhood": 3}
    return distances(samples, reference, **{**usual, **changes})


def gaussian(count: int, mean, covariance, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(mean, covariance, count)


def with_exact_moments(values: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Shifted and mixed so that the sample's own mean and covariance are the ones given."""
    centred = values - values.mean(axis=0)
    whitened = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def frechet(mean_1, covariance_1, mean_2, covariance_2) -> float:
    """Closed form for two Gaussians (Dowson & Landau 1982)."""
    between = sqrtm(covariance_1 @ covariance_2).real
    return float(
        np.sum((mean_1 - mean_2) ** 2) + np.trace(covariance_1 + covariance_2 - 2 * between)
    )


MEANS = np.array([0.0, 1.0, -2.0]), np.array([0.5, 1.0, -1.0])
COVARIANCES = (
    np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]]),
    np.array([[1.0, -0.4, 0.1], [-0.4, 1.5, 0.0], [0.1, 0.0, 0.8]]),
)

# --- Frechet distance -----------------------------------------------------------------------------


def test_frechet_distance_of_two_sets_is_the_closed_form_on_their_moments():
    sets = [
        with_exact_moments(np.random.default_rng(seed).normal(size=(300, 3)), *moments)
        for seed, moments in enumerate(zip(MEANS, COVARIANCES, strict=True))
    ]
    expected = frechet(MEANS[0], COVARIANCES[0], MEANS[1], COVARIANCES[1])
    assert measure(*map(features, sets))["frechet_distance"] == pytest.approx(expected, rel=1e-4)
    assert expected > 1


def test_frechet_distance_of_many_draws_from_two_gaussians_is_the_closed_form():
    draws = [
        gaussian(4000, *moments, seed)
        for seed, moments in enumerate(zip(MEANS, COVARIANCES, strict=True))
    ]
    expected = frechet(MEANS[0], COVARIANCES[0], MEANS[1], COVARIANCES[1])
    assert measure(*map(features, draws))["frechet_distance"] == pytest.approx(expected, rel=0.05)


def test_spheres_of_two_sizes_are_as_far_apart_as_their_radii():
    sets = [
        with_exact_moments(
            np.random.default_rng(seed).normal(size=(100, 4)), np.zeros(4), scale**2 * np.eye(4)
        )
        for seed, scale in enumerate((1.0, 3.0))
    ]
    assert measure(*map(features, sets))["frechet_distance"] == pytest.approx(
        4 * (3 - 1) ** 2, rel=1e-4
    )


def test_a_set_is_at_no_distance_from_itself():
    values = features(gaussian(200, MEANS[0], COVARIANCES[0], 0))
    record = measure(values, values)
    assert record["frechet_distance"] == pytest.approx(0, abs=1e-6)
    assert (record["precision"], record["recall"]) == (1, 1)


def test_distances_grow_with_the_shift():
    values = gaussian(200, MEANS[0], COVARIANCES[0], 0)
    records = [measure(features(values + shift), features(values)) for shift in (0.0, 0.5, 2.0)]
    for name in ("frechet_distance", "kernel_distance"):
        assert records[0][name] < records[1][name] < records[2][name]
    assert records[1]["frechet_distance"] == pytest.approx(3 * 0.5**2, rel=1e-4)
    for name in ("precision", "recall"):
        assert records[0][name] > records[2][name]


# --- kernel distance ------------------------------------------------------------------------------


def test_kernel_distance_is_the_unbiased_mmd_of_the_cubic_kernel():
    samples, reference = (
        np.random.default_rng(seed).normal(seed, 1, (40, 5)).astype(np.float32) for seed in (0, 1)
    )

    def kernel(left, right):
        return (left.astype(float) @ right.T.astype(float) / 5 + 1) ** 3

    def mean_off_diagonal(matrix):
        return (matrix.sum() - np.trace(matrix)) / (40 * 39)

    within = mean_off_diagonal(kernel(samples, samples)) + mean_off_diagonal(
        kernel(reference, reference)
    )
    expected = within - 2 * kernel(samples, reference).mean()
    record = measure(features(samples), features(reference), kid_subsets=4, kid_subset_size=40)
    assert record["kernel_distance"] == pytest.approx(expected, rel=1e-6)
    assert record["kernel_distance_sd"] == pytest.approx(0, abs=1e-9)


def test_kernel_distance_of_two_samples_of_one_law_is_about_zero():
    samples, reference = (
        features(np.random.default_rng(seed).normal(size=(500, 5))) for seed in (0, 1)
    )
    assert measure(samples, reference, kid_subsets=20, kid_subset_size=200)[
        "kernel_distance"
    ] == pytest.approx(0, abs=0.03)


def test_distances_are_the_same_every_time():
    samples, reference = (
        features(np.random.default_rng(seed).normal(size=(100, 5))) for seed in (0, 1)
    )
    torch.manual_seed(1)
    before = measure(samples, reference)
    torch.manual_seed(2)
    assert measure(samples, reference) == before


# --- precision and recall -------------------------------------------------------------------------


def test_precision_and_recall_are_shares_within_reach_of_the_other_set():
    # Real: two clusters of 10. Samples: 5 in the first cluster's midst, 15 far off.
    spread = np.linspace(0, 1, 10)
    reference = np.concatenate([spread, spread + 100])
    samples = np.concatenate([np.linspace(0.3, 0.7, 5), np.linspace(500, 501, 15)])
    samples, reference = (
        features(np.stack([places, np.zeros(20)], axis=1)) for places in (samples, reference)
    )
    record = measure(samples, reference, kid_subset_size=5, neighborhood=1)
    assert record["precision"] == pytest.approx(5 / 20)
    # Each of the 5 samples reaches to its neighbour, 0.1 away: 6 of the first 10 real images lie
    # from 0.2 to 0.8.
    inside = sum(0.2 - 1e-6 <= place <= 0.8 + 1e-6 for place in spread)
    assert record["recall"] == pytest.approx(inside / 20)
    assert inside == 6


# --- what a value travels with --------------------------------------------------------------------


def test_record_names_extractor_counts_and_options():
    samples, reference = (
        features(np.random.default_rng(0).normal(size=(count, 3)), "e", "d") for count in (30, 50)
    )
    record = measure(samples, reference, kid_subsets=2, kid_subset_size=25, neighborhood=4)
    assert (record["extractor"], record["weights_digest"]) == ("e", "d")
    assert (record["num_samples"], record["num_reference"]) == (30, 50)
    assert [record[name] for name in ("kid_subsets", "kid_subset_size", "neighborhood")] == [
        2,
        25,
        4,
    ]
    assert record["torch_fidelity"].split(".")[0].isdigit()


@pytest.mark.parametrize("other", [("inception-v3-compat 2048", "abc"), ("judge", "other weights")])
def test_features_of_two_extractors_are_refused(other):
    values = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(InvalidInput, match="two extractors"):
        measure(features(values), features(values, *other))


@pytest.mark.parametrize(
    ("options", "enough"),
    [({"kid_subset_size": 25}, 25), ({"kid_subset_size": 5, "neighborhood": 9}, 10)],
)
@pytest.mark.parametrize("side", ["samples", "test images"])
def test_too_few_images_are_refused_naming_the_side(options, enough, side):
    rng = np.random.default_rng(0)
    counts = [enough - 1, 40] if side == "samples" else [40, enough - 1]
    with pytest.raises(InvalidInput, match=f"{enough - 1} {side} are too few"):
        measure(*(features(rng.normal(size=(count, 3))) for count in counts), **options)
    measure(*(features(rng.normal(size=(enough, 3))) for _ in counts), **options)


def test_features_survive_saving(tmp_path):
    original = features(np.random.default_rng(0).normal(size=(30, 3)), "e", "d")._replace(
        images_digest="i"
    )
    original.save_pretrained(tmp_path / "features")
    loaded = Features.from_pretrained(tmp_path / "features")
    np.testing.assert_array_equal(loaded.values, original.values)
    assert loaded[1:] == ("e", "d", "i")
    assert measure(loaded, loaded)["frechet_distance"] == pytest.approx(0, abs=1e-6)


# --- extraction -----------------------------------------------------------------------------------


def test_judge_features_are_its_penultimate_layer_whatever_the_batch_size():
    torch.manual_seed(0)
    judge = Judge(1, 16, 10, (0,)).eval()
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 16, 16), dtype=np.uint8)
    extracted = extract_features(
        images, build_extractor("judge", judge, None), batch_size=4, device="cpu"
    )
    with torch.inference_mode():
        expected = judge.features(to_unit(torch.from_numpy(images)))
    np.testing.assert_allclose(extracted.values, expected, rtol=1e-5, atol=1e-6)
    assert extracted.values.shape == (10, 84)
    assert extracted.weights_digest == judge.weights_digest
    assert extracted.extractor.startswith("judge")


def test_features_name_their_images_and_their_extractor():
    torch.manual_seed(0)
    judge, other = Judge(1, 16, 10, (0,)).eval(), Judge(1, 16, 10, (0,)).eval()
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 16, 16), dtype=np.uint8)
    extractor = build_extractor("judge", judge, None)
    features = extract_features(images, extractor, 4, "cpu")
    assert extract_features(images, extractor, 10, "cpu")[1:] == features[1:]
    inverted = extract_features(255 - images, extractor, 4, "cpu")
    assert inverted.images_digest != features.images_digest
    assert inverted.weights_digest == features.weights_digest
    by_other = extract_features(images, build_extractor("judge", other, None), 4, "cpu")
    assert by_other.images_digest == features.images_digest
    assert by_other.weights_digest != features.weights_digest


def test_a_missing_file_of_inception_weights_is_refused_naming_it(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"evaluation\.inception_weights: no file .*weights\.pth"
    ):
        inception_weights_file(str(tmp_path / "weights.pth"))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return Path.touch, (marker,)

    plain, saved = tmp_path / "plain.pth", tmp_path / "saved.pth"
    plain.write_bytes(pickle.dumps({"weight": Payload()}, protocol=2))
    torch.save({"weight": Payload()}, saved)
    for path in (plain, saved):
        with pytest.raises(
            InvalidInput, match=r"evaluation\.inception_weights: .* is not a file of tensors"
        ):
            inception_weights_file(str(path))
    assert not marker.exists()
    pickle.loads(plain.read_bytes())
    assert marker.exists(), "the file must be one that runs code where it is let"


def test_a_file_of_tensors_is_taken(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    assert inception_weights_file(str(path)) == path


@pytest.fixture
def torch_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


def test_weights_that_cannot_be_downloaded_are_refused_naming_the_ways_out(
    torch_cache, monkeypatch
):
    def no_network(url, destination):
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(InvalidInput, match=r"cannot be downloaded .*name resolution") as refusal:
        inception_weights_file(None)
    for way_out in (str(torch_cache), "evaluation.inception_weights", "evaluation.features: judge"):
        assert way_out in str(refusal.value)


def test_weights_in_the_cache_of_torch_are_used_without_download(torch_cache, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    torch_cache.mkdir()
    path = torch_cache / URL_INCEPTION_V3.rsplit("/", 1)[-1]
    torch.save({"weight": torch.zeros(3)}, path)
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *arguments: pytest.fail("downloaded")
    )
    assert inception_weights_file(None) == path


def save_random_inception(path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict) -> None:
            """Keep the random weights."""

    torch.save({}, path)
    network = Untrained("inception", ["2048"], feature_extractor_weights_path=str(path))
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
    torch.save(network.state_dict(), path)


def test_inception_features_come_from_the_weights_of_the_file(tmp_path):
    """The real network with random weights; grey images are repeated over its three channels."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path / "weights.pth"
    save_random_inception(path)
    grey = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), dtype=np.uint8)
    judge = Judge(1, 16, 10, (0,))
    extracted = extract_features(
        grey, build_extractor("inception", judge, str(path)), batch_size=2, device="cpu"
    )
    assert extracted.values.shape == (3, 2048)
    assert extracted.extractor.startswith("inception")
    assert extracted.weights_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    network = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(path)
    )
    with torch.inference_mode():
        expected = network(torch.from_numpy(grey.repeat(3, axis=1)))[0]
    np.testing.assert_allclose(extracted.values, expected, rtol=1e-3, atol=1e-4)
    assert np.abs(extracted.values[0] - extracted.values[1]).max() > 0.01
