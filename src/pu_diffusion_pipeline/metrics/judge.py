"""The judge: a classifier that decides normal or sensitive (paper, Sec. 5.2).

It learns the classes of the data set from true labels. An image is normal if its most probable
class is a normal one.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from pu_diffusion_pipeline.images.encoders import ResNet34, load_imagenet_weights, resized
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.images.transforms import to_unit
from pu_diffusion_pipeline.metrics.backbones import BACKBONES
from pu_diffusion_pipeline.metrics.options import JudgeOptions
from pu_diffusion_pipeline.progress import progress
from pu_diffusion_pipeline.seeding import derive_seed


class Judge(nn.Module):
    """A classifier: the features of a backbone, then one linear layer to the classes.

    Args:
        channels: of the images.
        image_size: side in pixels; images are resized to it before the first layer.
        num_classes: classes of the data set.
        normal_classes: which of them are normal.
        architecture: one of `backbones.BACKBONES`.
        manifest: what the judge was made with, as `manifest.json` holds it.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        normal_classes: tuple[int, ...],
        architecture: str = "lenet",
        manifest: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.config = {
            "channels": channels,
            "image_size": image_size,
            "num_classes": num_classes,
            "normal_classes": list(normal_classes),
            "architecture": architecture,
        }
        self.manifest = manifest or {}
        self.image_size = image_size
        self.normal_classes = tuple(normal_classes)
        self.backbone = BACKBONES[architecture]
        self.body = self.backbone.build(channels, image_size)
        self.head = nn.Linear(self.backbone.num_features, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [-1, 1] to (B, num_features) penultimate features."""
        return self.body(resized(images, self.image_size))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32 in [-1, 1] to (B, num_classes) logits."""
        return self.head(self.features(images))

    @property
    def weights_digest(self) -> str:
        """sha256 of the weights."""
        sha = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            sha.update(name.encode() + value.cpu().numpy().tobytes())
        return sha.hexdigest()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors`, `config.json` and `manifest.json` into a new folder."""
        folder = Path(folder)
        folder.mkdir(parents=True)
        save_file(self.state_dict(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(self.config, indent=1))
        (folder / "manifest.json").write_text(json.dumps(self.manifest, indent=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Judge":
        """Read what `save_pretrained` wrote."""
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text())
        judge = cls(**config, manifest=json.loads((folder / "manifest.json").read_text()))
        judge.load_state_dict(load_file(folder / "model.safetensors"))
        return judge.eval()


def train_judge(
    images: np.ndarray,
    classes: np.ndarray,
    normal_classes: tuple[int, ...],
    options: JudgeOptions,
    device: str,
) -> Judge:
    """Train the judge to predict the class.

    Args:
        images: (N, C, H, W) uint8.
        classes: (N,) true class of each image.
        normal_classes: classes that count as normal.
        options: architecture and training options.
        device: cuda, mps or cpu.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(options.seed, "judge"))
        judge = _new_judge(images.shape[1], int(classes.max()) + 1, normal_classes, options)
        judge = judge.to(device).train()
        _fit(judge, images, classes, options, device)
    return judge.cpu().eval()


def _new_judge(
    channels: int, num_classes: int, normal_classes: tuple[int, ...], options: JudgeOptions
) -> Judge:
    judge = Judge(channels, options.image_size, num_classes, normal_classes, options.architecture)
    if isinstance(judge.body, ResNet34):
        way_out = "use judge.architecture: lenet"
        load_imagenet_weights(judge.body, options.weights, "judge.weights", way_out)
    return judge


def _fit(
    judge: Judge, images: np.ndarray, classes: np.ndarray, options: JudgeOptions, device: str
) -> None:
    """Minimise the cross-entropy with AdamW and a one-cycle learning rate."""
    rng = np.random.default_rng(derive_seed(options.seed, "judge_batches"))
    num_batches = -(-len(images) // options.batch_size)
    rate = options.learning_rate
    optimizer = torch.optim.AdamW(judge.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=num_batches * options.num_epochs
    )
    augment = _mirrored if judge.backbone.flips else _shifted
    with progress("train judge", options.num_epochs) as reporter:
        for epoch in range(options.num_epochs):
            for rows in np.array_split(rng.permutation(len(images)), num_batches):
                batch = to_unit(torch.from_numpy(images[np.sort(rows)]))
                batch = augment(batch, rng).to(device)
                target = torch.from_numpy(classes[np.sort(rows)]).to(device)
                loss = functional.cross_entropy(judge(batch), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            reporter.update(epoch + 1, f"loss {float(loss.detach()):.4f}")


def _mirrored(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror the whole batch, with probability 1/2."""
    return images.flip(3) if rng.random() < 0.5 else images


def _shifted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift the batch by up to 1/16 of the side, so that the judge overfits small sets less."""
    reach = images.shape[-1] // 16
    down, right = rng.integers(-reach, reach + 1, 2)
    return torch.roll(images, (int(down), int(right)), dims=(2, 3))


def batches(images: np.ndarray, batch_size: int, device: str) -> Iterator[Tensor]:
    """Slices of a (memory-mapped) uint8 array as float32 in [-1, 1] on the device."""
    for start in range(0, len(images), batch_size):
        yield to_unit(torch.from_numpy(np.array(images[start : start + batch_size])).to(device))


@torch.inference_mode()
def predicted_classes(
    judge: Judge, images: np.ndarray, batch_size: int, device: str = "cpu"
) -> np.ndarray:
    """(N,) int64, the most probable class of each image of a (N, C, H, W) uint8 array."""
    judge = judge.to(device)
    return np.concatenate(
        [judge(batch).argmax(1).cpu().numpy() for batch in batches(images, batch_size, device)]
    )


def judged_normal(judge: Judge, classes: np.ndarray) -> np.ndarray:
    """(N,) bool: whether a predicted class is a normal one."""
    return np.isin(classes, judge.normal_classes)


def assess_judge(
    judge: Judge,
    test: ImageSet,
    test_classes: np.ndarray,
    heldout: ImageSet,
    heldout_classes: np.ndarray,
    device: str,
) -> dict[str, float | int | str]:
    """Accuracy on images that the judge never saw.

    Args:
        judge: the trained judge.
        test: N normal images.
        test_classes: (N,) their true classes.
        heldout: M sensitive images.
        heldout_classes: (M,) their true classes.
        device: cuda, mps or cpu.

    Returns:
        `accuracy` of the predicted class, `normal_recall` = P(judged normal | normal),
        `sensitive_recall` = P(judged sensitive | sensitive), and the counts they come from.
    """
    normal = predicted_classes(judge, test.images, 512, device)
    sensitive = predicted_classes(judge, heldout.images, 512, device)
    correct = int((normal == test_classes).sum()) + int((sensitive == heldout_classes).sum())
    return {
        "accuracy": correct / (len(test) + len(heldout)),
        "normal_recall": float(judged_normal(judge, normal).mean()),
        "sensitive_recall": float(1 - judged_normal(judge, sensitive).mean()),
        "num_normal": len(test),
        "num_sensitive": len(heldout),
        "weights_digest": judge.weights_digest,
    }
