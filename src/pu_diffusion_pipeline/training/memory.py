"""Whether a training fits into memory, asked before its first step.

What the backward pass needs is counted, not guessed: the denoiser's forward pass runs on the meta
device, where tensors have shapes and no values, and tells what it keeps.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.compute import use_fast_attention
from pu_diffusion_pipeline.diffusion.free_memory import free_memory, in_words
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS
from pu_diffusion_pipeline.training.batches import LABELED_NORMAL_SHARE
from pu_diffusion_pipeline.training.optimizers import num_moments

if TYPE_CHECKING:
    from diffusers import UNet2DModel

    from pu_diffusion_pipeline.training.draws import BatchDraws
    from pu_diffusion_pipeline.training.loop import Learner
    from pu_diffusion_pipeline.training.options import TrainingOptions

log = logging.getLogger(__name__)

FLOAT = torch.float32.itemsize
COUNTED = 2  # images of the counting pass; what it keeps grows with their number
# A step takes more than what its forward pass keeps: gradients of what lies between the layers, and
# freed memory that the allocator keeps. Measured on the CPU with conf/base: 1.3 in the first step,
# 1.6 from the second one on.
SURPLUS = 1.5
MOST_PARTS = 10_000  # the largest training.micro_batches that is proposed


class MemoryNeed(NamedTuple):
    """Bytes that a process will take in addition to what it has, as a function of the batch.

    Attributes:
        fixed: gradients and the optimizer's moments.
        per_image: of a batch, clean images and noise; every process has the whole batch.
        per_computed_image: what is kept for the backward pass.
        images_share: images of a batch by `training.batch_size`. Images of sets that the method
            does not look at are left out, labeled normal ones come on top.
        num_processes: that share a batch.
    """

    fixed: int
    per_image: int
    per_computed_image: int
    images_share: float
    num_processes: int

    def total(self, batch_size: int, micro_batches: int) -> int:
        """Bytes of a process for these options."""
        num_images = round(batch_size * self.images_share)
        part = -(-num_images // (self.num_processes * micro_batches))
        return self.fixed + num_images * self.per_image + part * self.per_computed_image

    def largest_batch(self, free: int, micro_batches: int) -> int:
        """The `training.batch_size` that fits into so many free bytes; 0 where none does."""
        parts = self.num_processes * micro_batches
        per_image = self.per_image + self.per_computed_image / parts
        whole = parts * int((free - self.fixed) / (per_image * self.images_share) / parts)
        return max(0, whole)


def refuse_too_large(learner: Learner, draws: BatchDraws, options: TrainingOptions) -> None:
    """Refuse a training that does not fit, and wait for the other processes' answer.

    What it needs is logged before its first step.

    Weights and random streams stay as they are. On mps nothing is refused: torch does not say how
    much memory is free there.

    Raises:
        InvalidInput: with the figures and what would fit.
    """
    free = free_memory(learner.accelerator.device.type)
    if free is None:
        return
    if learner.accelerator.device.type == "cpu":
        free //= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that share this memory
    need = estimate(learner, draws)
    needed = need.total(options.batch_size, options.micro_batches)
    if needed > free:
        raise InvalidInput(_refusal(need, needed, free, options, learner.accelerator.device.type))
    if learner.is_first:
        log.info(_need_in_words(need, needed, free, options))
    learner.accelerator.wait_for_everyone()  # the first step of another one would count as taken


def estimate(learner: Learner, draws: BatchDraws) -> MemoryNeed:
    """What a process will need; the average of the weights and the weights are there already."""
    denoiser = learner.unwrapped
    num_weights = sum(weight.numel() for weight in denoiser.parameters())
    num_processes = learner.accelerator.num_processes
    moments = 0 if learner.optimizer.state else num_moments(learner.optimizer)
    buckets = 1 if num_processes > 1 else 0  # of the gradients that processes exchange
    fixed = FLOAT * (num_weights * (1 + buckets) + moments)
    kept = kept_per_image(learner)
    if learner.precision != "fp32":
        # Autocast does not work on the meta device. It keeps half-precision tensors, and a copy of
        # the weights in it. On GPUs its norms keep float32: there this is a lower bound.
        kept //= 2
        fixed += num_weights * FLOAT // 2
    clean_and_noise = 2 * FLOAT * draws.sets.unlabeled.images[:1].size
    computed = round(SURPLUS * kept)
    return MemoryNeed(fixed, clean_and_noise, computed, _images_share(draws), num_processes)


def kept_per_image(learner: Learner) -> int:
    """Bytes in float32 that a forward pass keeps for the backward pass, without the weights."""
    denoiser = _without_values(learner)
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, _same):
        result = denoiser(*_meta_images(denoiser))
    del result
    for weight in denoiser.parameters():
        kept.pop(weight.untyped_storage()._cdata, None)
    return sum(storage.nbytes() for storage in kept.values()) // COUNTED


def _without_values(learner: Learner) -> UNet2DModel:
    """The same network anew on the meta device: hooks and values of the learner's are not met."""
    original = learner.unwrapped
    with torch.device("meta"):
        denoiser = type(original).from_config(original.config)
    use_fast_attention(denoiser, learner.accelerator.device.type)
    return denoiser.train()


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _meta_images(denoiser: UNet2DModel) -> tuple[Tensor, ...]:
    """Images, time steps and, for a conditional denoiser, class labels."""
    config = denoiser.config
    size = config["sample_size"]
    images = torch.empty(COUNTED, config["in_channels"], size, size, device="meta")
    timesteps = torch.empty(COUNTED, dtype=torch.int64, device="meta")
    conditional = config["num_class_embeds"] is not None
    return (images, timesteps, timesteps) if conditional else (images, timesteps)


def _images_share(draws: BatchDraws) -> float:
    sizes = dict(zip(SETS, map(len, draws.sets.images), strict=True))
    unlabeled, labeled, normal = SETS
    used = sum(sizes[name] for name in (unlabeled, labeled) if name in draws.used)
    on_top = 1 / LABELED_NORMAL_SHARE if normal in draws.used else 0
    return used / (sizes[unlabeled] + sizes[labeled]) + on_top


def _need_in_words(need: MemoryNeed, needed: int, free: int, options: TrainingOptions) -> str:
    per_process = " in each process" if need.num_processes > 1 else ""
    return (
        f"Memory: about {in_words(needed)}{per_process} for batches of {options.batch_size} "
        f"({in_words(need.fixed)}, {in_words(need.per_image)} for each image and "
        f"{in_words(need.per_computed_image)} for each computed at once); {in_words(free)} free"
    )


def _refusal(
    need: MemoryNeed, needed: int, free: int, options: TrainingOptions, device: str
) -> str:
    batch_size = options.batch_size
    largest = need.largest_batch(free, options.micro_batches)
    share = batch_size // need.num_processes
    parts = next(
        (
            parts
            for parts in range(options.micro_batches + 1, min(share, MOST_PARTS) + 1)
            if share % parts == 0 and need.total(batch_size, parts) <= free
        ),
        None,
    )
    in_parts = f", or training.micro_batches: {parts}" if parts else ""
    per_process = " in each process" if need.num_processes > 1 else ""
    return (
        f"training.batch_size: {batch_size} needs about {in_words(needed)} of memory on "
        f"{device}{per_process}, {in_words(free)} are free; write at most {largest}{in_parts}"
    )
