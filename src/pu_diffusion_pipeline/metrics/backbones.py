"""What the judge looks with: a LeNet-style CNN (LeCun et al. 1998) or ImageNet's ResNet-34 (He et al. 2016)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.weights import read_tensors, weights_file

RESNET34 = "https://download.pytorch.org/models/resnet34-b627a593.pth"  # torchvision's ResNet34_Weights.IMAGENET1K_V1
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(NamedTuple):
    """A kind of judge.

    Attributes:
        build: (channels, image_size) to a module from (B, C, H, W) in [-1, 1] to (B, num_features).
        num_features: of the penultimate layer.
        title: for reports.
        flips: whether a mirrored image shows the same class; if not, images are shifted instead in training.
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


class _ResNet34(nn.Module):
    def __init__(self, channels: int, image_size: int) -> None:
        super().__init__()
        from torchvision.models import resnet34

        self.network = resnet34()
        self.network.fc = nn.Identity()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(IMAGENET_SD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        colours = images.expand(-1, 3, -1, -1)
        return self.network(((colours + 1) / 2 - self.mean) / self.sd)


BACKBONES = {
    "lenet": Backbone(_lenet, 84, "LeNet-style, 84 features", flips=False),
    "resnet34": Backbone(_ResNet34, 512, "ResNet-34, 512 features", flips=True),
}


def load_imagenet_weights(body: nn.Module, path: str | None) -> None:
    """Give a ResNet-34 body ImageNet's weights, from a file or from torchvision's download.

    Raises:
        InvalidInput: no such file, no network, or weights of something else.
    """
    file = weights_file(path, RESNET34, "judge.weights", "use judge.architecture: lenet")
    state = read_tensors(file, "judge.weights")
    classes = state.pop("fc.weight", torch.empty(0, 0)).shape[0]
    state.pop("fc.bias", None)
    if classes != 1000:
        raise InvalidInput(
            f"judge.weights: {file} is for {classes} classes; expected torchvision's ResNet-34 for ImageNet's 1000 "
            "(the judge is then fine-tuned on this benchmark's own classes)"
        )
    try:
        body.network.load_state_dict(state)  # type: ignore[union-attr]
    except RuntimeError as error:
        raise InvalidInput(f"judge.weights: {file} holds no ResNet-34 ({str(error).splitlines()[0]})") from error


def resized(images: Tensor, size: int) -> Tensor:
    """(B, C, H, W) brought to a side of `size` pixels."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
