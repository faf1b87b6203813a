"""The judge's networks: a LeNet-style CNN (LeCun et al. 1998), ResNet-34 (He et al. 2016)."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from pu_diffusion_pipeline.images.encoders import ResNet34


class Backbone(NamedTuple):
    """The network below the judge's last layer.

    Attributes:
        build: (channels, image_size) to a module from (B, C, H, W) in [-1, 1] to (B, num_features).
        num_features: of the penultimate layer.
        title: for reports.
        flips: whether a mirrored image shows the same class. If not, training shifts images
            instead of mirroring them.
    """

    build: Callable[[int, int], nn.Module]
    num_features: int
    title: str
    flips: bool


def _lenet(channels: int, image_size: int) -> nn.Module:
    side = image_size // 4
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25),
        nn.Linear(64 * side * side, 84), nn.ReLU(),
    )  # fmt: skip


BACKBONES = {
    "lenet": Backbone(_lenet, 84, "LeNet-style, 84 features", flips=False),
    "resnet34": Backbone(
        lambda channels, image_size: ResNet34(), 512, "ResNet-34, 512 features", flips=True
    ),
}
