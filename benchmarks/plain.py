"""What a user of diffusers would write: its tutorial's training loop.

https://huggingface.co/docs/diffusers/tutorials/basic_training, without accelerate, logging and the
hub. It is what `engine.py` measures this package against.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Pictures(Dataset):
    """Images as the tutorial has them: PIL images, brought into shape one by one."""

    def __init__(self, images: np.ndarray) -> None:
        self.pictures = [Image.fromarray(image.transpose(1, 2, 0).squeeze()) for image in images]
        size = images.shape[-1]
        self.preprocess = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.preprocess(self.pictures[index])


def training_steps(
    model: UNet2DModel, images: np.ndarray, batch_size: int, num_steps: int
) -> Iterator[float]:
    """Train in float32; yields the loss after each step."""
    train_dataloader = DataLoader(
        Pictures(images), batch_size=batch_size, shuffle=True, drop_last=True
    )
    noise_scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    lr_scheduler = get_cosine_schedule_with_warmup(
        optimizer, num_warmup_steps=500, num_training_steps=num_steps
    )
    model.train()
    done = 0
    while True:
        for clean_images in train_dataloader:
            noise = torch.randn(clean_images.shape)
            timesteps = torch.randint(
                0, noise_scheduler.config.num_train_timesteps, (len(clean_images),)
            )
            noisy_images = noise_scheduler.add_noise(clean_images, noise, timesteps)
            noise_pred = model(noisy_images, timesteps, return_dict=False)[0]
            loss = F.mse_loss(noise_pred, noise)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
            yield loss.item()
            done += 1
            if done == num_steps:
                return
