"""The training loop of every method: draw a batch, error (Eq. 8), objective, backward, clip, step.

Everything random in a step follows from the seed and the step's number, so a resumed run draws
what it would have drawn. U's part of a batch (images, noise, timesteps) is the same for every
method with the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pu_diffusion_pipeline.diffusion.compute import (
    build_accelerator,
    compile_denoiser,
    use_fast_attention,
)
from pu_diffusion_pipeline.diffusion.noising import denoising_error
from pu_diffusion_pipeline.seeding import derive_seed
from pu_diffusion_pipeline.training.checkpoints import State
from pu_diffusion_pipeline.training.draws import BatchDraws, Draws
from pu_diffusion_pipeline.training.gradients import BatchGradients, has_dropout
from pu_diffusion_pipeline.training.optimizers import build_optimizer, load_optimizer
from pu_diffusion_pipeline.training.options import TrainingOptions
from pu_diffusion_pipeline.training.schedules import cosine_with_warmup

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

    from pu_diffusion_pipeline.diffusion.options import ComputeOptions, ObjectiveOptions


class Measured(NamedTuple):
    """What a step measured; every tensor is a scalar on the device.

    Attributes:
        loss: what the objective gave.
        risks: the objective's named risks.
        gradient_norm: before clipping.
        num_images: in the batch, over all processes.
    """

    loss: Tensor
    risks: dict[str, Tensor]
    gradient_norm: Tensor
    num_images: int


def training_steps(
    learner: Learner, draws: BatchDraws, gradients: BatchGradients
) -> Iterator[Measured]:
    """Take the steps that are left, one for each item that is asked for."""
    learner.denoiser.train()
    draws_inside = has_dropout(learner.denoiser)
    while learner.step < learner.num_steps:
        batch = draws.for_step(learner.step)
        with _seeded(learner, draws.random.seed) if draws_inside else nullcontext():
            loss, risks = gradients.backward(batch)  # error, objective and backward pass
        gradient_norm = learner.clip_gradients()
        learner.optimizer.step()
        learner.lr_scheduler.step()
        learner.optimizer.zero_grad()
        learner.step += 1
        yield Measured(loss.detach(), risks, gradient_norm, len(batch.labels))


@contextmanager
def _seeded(learner: Learner, seed: int) -> Iterator[None]:
    """The global random stream, which dropout draws from, follows from the seed and the step."""
    with torch.random.fork_rng():
        process = learner.accelerator.process_index
        torch.manual_seed(derive_seed(seed, "dropout", process, learner.step))
        yield


class Learner:
    """A denoiser that learns: its optimizer, its learning rate, and the step it is at.

    Several processes share every batch if accelerate finds that it was launched so.

    Args:
        denoiser: trained in place.
        options: of optimisation.
        num_steps: steps of the whole training.
        device: cuda, mps or cpu.
        precision: fp32, bf16 or fp16; weights and the error stay float32.
        channels_last: keep images and weights in this memory layout.
    """

    def __init__(
        self,
        denoiser: UNet2DModel,
        options: TrainingOptions,
        num_steps: int,
        device: str,
        precision: str,
        channels_last: bool = False,
    ) -> None:
        self.step = 0
        self.num_steps = num_steps
        self.precision = precision
        self.max_grad_norm = options.max_grad_norm
        self.accelerator = build_accelerator(device, precision)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        denoiser = denoiser.to(memory_format=self.memory_format)
        use_fast_attention(denoiser, device)
        optimizer = build_optimizer(denoiser, options)
        self.denoiser, self.optimizer = self.accelerator.prepare(denoiser, optimizer)
        self.lr_scheduler = cosine_with_warmup(
            self.optimizer.optimizer, options.warmup_steps, num_steps
        )

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.accelerator.is_main_process

    @property
    def unwrapped(self) -> UNet2DModel:
        """The denoiser without what shares its gradients between processes."""
        return self.accelerator.unwrap_model(self.denoiser)

    def clip_gradients(self) -> Tensor:
        """Clip the gradients; their norm before."""
        return self.accelerator.clip_grad_norm_(self.denoiser.parameters(), self.max_grad_norm)

    def finished(self) -> UNet2DModel:
        """The plain model on the CPU, in evaluation mode, without wrappers of mixed precision."""
        plain = self.accelerator.unwrap_model(self.denoiser, keep_fp32_wrapper=False)
        return plain.cpu().eval().to(memory_format=torch.contiguous_format)

    def state_dict(self) -> State:
        """What a resumed training needs of it."""
        scaler = self.accelerator.scaler
        return {
            "precision": self.precision,
            "step": self.step,
            "denoiser": self.unwrapped.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Take up a saved state; of a finished training there is only the model."""
        self.step = state["step"]
        self.unwrapped.load_state_dict(state["denoiser"])
        if state["finished"]:
            return
        load_optimizer(self.optimizer.optimizer, state["optimizer"])
        self.lr_scheduler.load_state_dict(state["lr_scheduler"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])


@dataclass(frozen=True)
class BatchError:
    """l(x) of Eq. 8 for every image of some draws, as the learner's denoiser sees them.

    Attributes:
        learner: whose denoiser.
        predict: the denoiser, compiled or as it is.
        noise_scheduler: the forward process.
        error_space: as in `denoising_error`.
        reduction: as there.
    """

    learner: Learner
    predict: Callable[..., UNet2DModel]
    noise_scheduler: DDPMScheduler
    error_space: str
    reduction: str

    @classmethod
    def build(
        cls,
        learner: Learner,
        noise_scheduler: DDPMScheduler,
        objective: ObjectiveOptions,
        compute: ComputeOptions,
    ) -> BatchError:
        """The error that the options describe."""
        predict = compile_denoiser(learner.denoiser) if compute.compile else learner.denoiser
        return cls(learner, predict, noise_scheduler, objective.error_space, objective.reduction)

    def __call__(self, draws: Draws) -> Tensor:
        """(B,) float32, differentiable by the weights."""
        memory_format = self.learner.memory_format
        with self.learner.accelerator.autocast():
            return denoising_error(
                self.predict,
                self.noise_scheduler,
                draws.clean_images.contiguous(memory_format=memory_format),
                draws.noise.contiguous(memory_format=memory_format),
                draws.timesteps,
                conditions=draws.conditions,
                error_space=self.error_space,
                reduction=self.reduction,
            )
