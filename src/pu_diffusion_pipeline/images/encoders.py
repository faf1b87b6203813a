"""ImageNet's ResNet-34 (He et al. 2016) as an encoder of images, for judge and class prior."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.images.weights import read_tensors, weights_file

# torchvision's ResNet34_Weights.IMAGENET1K_V1.
RESNET34 = "https://download.pytorch.org/models/resnet34-b627a593.pth"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
IMAGENET_SIZE = 224


class ResNet34(nn.Module):
    """Images (B, 1 or 3, H, W) in [-1, 1] to the (B, 512) features before the last layer.

    Weights are random until some are loaded.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet34

        self.network = resnet34()
        self.network.fc = nn.Identity()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(IMAGENET_SD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        colours = images.expand(-1, 3, -1, -1)
        return self.network(((colours + 1) / 2 - self.mean) / self.sd)


def load_imagenet_weights(body: ResNet34, path: str | None, field: str, otherwise: str) -> None:
    """Give the network ImageNet's weights, from a file or from torchvision's download.

    Args:
        body: the network.
        path: a file; None downloads.
        field: the parameter that names the file, for error messages.
        otherwise: the alternative to suggest in an error message.

    Raises:
        InvalidInput: no such file, no network, or weights of something else.
    """
    file = weights_file(path, RESNET34, field, otherwise)
    state = read_tensors(file, field)
    classes = state.pop("fc.weight", torch.empty(0, 0)).shape[0]
    state.pop("fc.bias", None)
    if classes != 1000:
        raise InvalidInput(
            f"{field}: {file} is for {classes} classes; expected torchvision's ResNet-34 for "
            "ImageNet's 1000"
        )
    try:
        body.network.load_state_dict(state)
    except RuntimeError as error:
        raise InvalidInput(
            f"{field}: {file} holds no ResNet-34 ({str(error).splitlines()[0]})"
        ) from error


def resized(images: Tensor, size: int) -> Tensor:
    """(B, C, H, W) brought to a side of `size` pixels."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(
        images, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
