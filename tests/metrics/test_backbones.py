"""The ResNet-34 judge: ImageNet's weights from a file, fine-tuned on the data set's own classes."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torchvision.models import resnet34

from conftest import REPO
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.encoders import load_imagenet_weights
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.metrics.judge import Judge, predicted_classes, train_judge
from pu_diffusion_pipeline.metrics.options import JudgeOptions


def options(**changes) -> JudgeOptions:
    base = OmegaConf.to_container(OmegaConf.load(REPO / "conf/base/parameters.yml").judge)
    own = {
        "architecture": "resnet34",
        "image_size": 32,
        "num_epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-3,
    }
    return JudgeOptions(**{**base, **own, **changes})


def pictures(channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Dark and bright images, class 0 and 1."""
    classes = np.arange(24) % 2
    noise = np.random.default_rng(0).integers(0, 60, (24, channels, 16, 16))
    return (noise + 180 * classes[:, None, None, None]).astype(np.uint8), classes


def test_the_body_has_the_weights_of_the_file(imagenet):
    judge = Judge(3, 32, 2, (0,), "resnet34")
    load_imagenet_weights(judge.body, imagenet, "judge.weights", "do without")
    expected = torch.load(imagenet)
    got = judge.body.network.state_dict()
    assert all(
        torch.equal(got[name], value)
        for name, value in expected.items()
        if not name.startswith("fc.")
    )


def test_features_are_those_of_the_network_on_normalised_images(imagenet):
    judge = Judge(3, 16, 2, (0,), "resnet34").eval()
    load_imagenet_weights(judge.body, imagenet, "judge.weights", "do without")
    network = resnet34()
    network.load_state_dict(torch.load(imagenet))
    network.fc = torch.nn.Identity()
    images = torch.from_numpy(pictures()[0][:4])
    normalised = (images / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(
            judge.features(to_unit(images)), network.eval()(normalised), rtol=1e-4, atol=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_fine_tuned_saved_and_read(imagenet, tmp_path, channels):
    images, classes = pictures(channels)
    judge = train_judge(images, classes, (0,), options(weights=imagenet, num_epochs=6), "cpu")
    assert (predicted_classes(judge, images, 8) == classes).mean() > 0.9
    assert not judge.training
    judge.save_pretrained(tmp_path / "judge")
    again = Judge.from_pretrained(tmp_path / "judge")
    assert again.weights_digest == judge.weights_digest
    assert again.config["architecture"] == "resnet34"


def test_weights_of_another_task_are_refused(tmp_path):
    path = tmp_path / "judge.pth"
    torch.save(resnet34(num_classes=10).state_dict(), path)
    with pytest.raises(
        InvalidInput, match=r"judge\.weights: .* is for 10 classes; expected .* ImageNet's 1000"
    ):
        load_imagenet_weights(
            Judge(3, 32, 2, (0,), "resnet34").body, str(path), "judge.weights", "do without"
        )


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(1000, 5), "layer.weight": torch.zeros(3)}, path)
    with pytest.raises(InvalidInput, match="holds no ResNet-34"):
        load_imagenet_weights(
            Judge(3, 32, 2, (0,), "resnet34").body, str(path), "judge.weights", "do without"
        )


def test_weights_that_are_not_there_are_refused_naming_the_ways_out(tmp_path, monkeypatch):
    def no_network(url: str, destination: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(
        InvalidInput, match=r"resnet34-.*judge\.weights, or use judge\.architecture: lenet"
    ):
        train_judge(*pictures(), (0,), options(), "cpu")
    with pytest.raises(InvalidInput, match=r"judge\.weights: no file"):
        train_judge(*pictures(), (0,), options(weights=str(tmp_path / "none.pth")), "cpu")
