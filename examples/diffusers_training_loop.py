"""A training loop of diffusers with the PU objective in the place of the mean squared error.

python examples/diffusers_training_loop.py                 # digits of scikit-learn: even, not odd
python examples/diffusers_training_loop.py --unlabeled U --sensitive S --size 64 --to my-model

The three steps marked "PU" are all that differs from a usual loop with accelerate.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDIMPipeline, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms.functional import to_tensor
from torchvision.utils import save_image

import pu_diffusion_pipeline as pu

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
COUNTS = {
    "unlabeled_normal": 600,
    "unlabeled_sensitive": 60,
    "labeled_sensitive": 200,
    "labeled_normal": 0,
    "test": 0,
    "heldout_sensitive": 0,
    "judge": 0,
}


def read_digits() -> tuple[Tensor, Tensor]:
    """U, in which a part of 1 / 11 is odd, and S, odd digits: (N, 1, 8, 8) in [-1, 1]."""
    pixels, classes = load_digits(return_X_y=True)
    is_test = np.zeros(len(classes), dtype=bool)
    split = pu.split_images(classes, is_test, (0, 2, 4, 6, 8), COUNTS, seed=0)
    images = torch.from_numpy(pixels.reshape(-1, 1, 8, 8) / 8 - 1).float()
    return images[split.unlabeled], images[split.labeled_sensitive]


def read_folder(folder: Path, size: int) -> Tensor:
    """All pictures of a folder, (N, 3, size, size) in [-1, 1]."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not files:
        raise SystemExit(f"no pictures in {folder}")
    upright = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in files]
    pictures = [ImageOps.fit(picture, (size, size)) for picture in upright]
    return torch.stack([to_tensor(picture) for picture in pictures]) * 2 - 1


def build_denoiser(images: Tensor) -> UNet2DModel:
    """A small U-Net; larger images get more levels."""
    size = images.shape[-1]
    widths = (32, 64) if size < 32 else (64, 128, 128, 256)
    return UNet2DModel(
        sample_size=size,
        in_channels=images.shape[1],
        out_channels=images.shape[1],
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
    )


def train(unlabeled: Tensor, sensitive: Tensor, options: argparse.Namespace) -> DDIMPipeline:
    """Train with the PU risk; the pipeline has the averaged weights."""
    # PU: both sets in one data set, and for each image the set it comes from.
    images = torch.cat([unlabeled, sensitive])
    labels = torch.tensor([pu.UNLABELED] * len(unlabeled) + [pu.LABELED_SENSITIVE] * len(sensitive))
    loader = DataLoader(
        TensorDataset(images, labels), batch_size=options.batch_size, shuffle=True, drop_last=True
    )
    accelerator = Accelerator()
    noise_scheduler = DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )
    denoiser = build_denoiser(images)
    averaged = EMAModel(denoiser.parameters(), decay=0.99)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=options.learning_rate)
    schedule = get_cosine_schedule_with_warmup(optimizer, options.steps // 20, options.steps)
    denoiser, optimizer, loader, schedule = accelerator.prepare(
        denoiser, optimizer, loader, schedule
    )
    averaged.to(accelerator.device)
    # PU: the objective, which needs the share of sensitive images in U.
    objective = pu.PositiveUnlabeled(beta=options.beta)
    step = 0
    while step < options.steps:
        for clean, origin in loader:
            noise = torch.randn_like(clean)
            timesteps = torch.randint(1000, (len(clean),), device=clean.device)
            # PU: an error for each image, then the risk, in the place of F.mse_loss.
            error = pu.denoising_error(denoiser, noise_scheduler, clean, noise, timesteps)
            loss, risks = objective(error, origin)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(denoiser.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            averaged.step(denoiser.parameters())
            step += 1
            if step % max(1, options.steps // 5) == 0:
                shown = " ".join(f"{name} {risk.item():.3g}" for name, risk in risks.items())
                accelerator.print(f"step {step} of {options.steps}: {shown}")
            if step == options.steps:
                break
    trained = accelerator.unwrap_model(denoiser)
    averaged.copy_to(trained.parameters())
    return DDIMPipeline(unet=trained, scheduler=noise_scheduler)


def main(arguments: list[str] | None = None) -> None:
    """Train, save the model and a picture of samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--unlabeled", type=Path, help="folder of unlabeled images")
    parser.add_argument("--sensitive", type=Path, help="folder of sensitive images")
    parser.add_argument("--size", type=int, default=32, help="side of the images of a folder")
    parser.add_argument("--beta", type=float, default=0.09, help="sensitive share of unlabeled")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--to", type=Path, default=Path("pu-model"), help="folder of the model")
    options = parser.parse_args(arguments)
    if (options.unlabeled is None) != (options.sensitive is None):
        parser.error("expected both --unlabeled and --sensitive, or neither")
    if options.size < 32 or options.size % 8:  # the U-Net halves the image three times
        parser.error("--size: expected a multiple of 8 from 32 on")
    set_seed(0)
    if options.unlabeled is None:
        sets = read_digits()
    else:
        sets = (
            read_folder(options.unlabeled, options.size),
            read_folder(options.sensitive, options.size),
        )
    if min(map(len, sets)) == 0 or sum(map(len, sets)) < options.batch_size:
        parser.error("expected at least a batch of images")
    train(*sets, options).save_pretrained(options.to)
    samples = pu.load(options.to).sample(64)
    save_image((samples + 1) / 2, options.to / "samples.png", padding=1)
    print(f"{options.to}: the model, and 64 samples in samples.png")


if __name__ == "__main__":
    main()
