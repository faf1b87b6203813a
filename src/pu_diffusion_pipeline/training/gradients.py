"""Gradients of the objective of a whole batch, computed in parts here and in other processes.

The PU objective is no mean over images: its correction asks whether the risk of the whole batch is
negative. So the errors of all parts and processes come first; the objective's derivative by each
image's error then weighs that image's gradient. In one process and one part this is the plain
backward pass.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from pu_diffusion_pipeline.diffusion.objectives import Objective
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.training.draws import Draws


class BatchGradients:
    """Adds the gradients of a batch to the weights.

    Args:
        accelerator: knows the processes that share every batch.
        denoiser: what `accelerator.prepare` gave.
        error: per-image errors (B,) of some draws, differentiable.
        objective: the method's objective.
        batch_size: images of U and S together in a step of all processes.
        micro_batches: parts that a process computes one after another; more than one costs a
            second forward pass.

    Raises:
        InvalidInput: processes and parts do not divide the batch, or the denoiser is random itself.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        denoiser: nn.Module,
        error: Callable[[Draws], Tensor],
        objective: Objective,
        batch_size: int,
        micro_batches: int,
    ) -> None:
        self.accelerator = accelerator
        self.denoiser = denoiser
        self.error = error
        self.objective = objective
        self.micro_batches = micro_batches
        if batch_size % (accelerator.num_processes * micro_batches):
            raise InvalidInput(
                f"training.batch_size {batch_size} cannot be shared by "
                f"{accelerator.num_processes} processes in {micro_batches} parts each "
                "(training.micro_batches)"
            )
        if micro_batches > 1 and has_dropout(denoiser):
            raise InvalidInput(
                "training.micro_batches above 1 computes images twice: "
                "it needs a denoiser without dropout"
            )

    def backward(self, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and named risks of the whole batch, the same in every process."""
        parts = self._parts(len(draws.labels))
        if len(parts) == 1 and self.accelerator.num_processes == 1:
            loss, risks = self._loss(self.error(draws), draws)
            self.accelerator.backward(loss)
            return loss, risks
        once = len(parts) == 1
        with torch.set_grad_enabled(once):
            errors = [self.error(draws.select(part)) for part in parts]
        whole = self._gathered(torch.cat(errors).detach(), len(draws.labels)).requires_grad_()
        loss, risks = self._loss(whole, draws)
        (weights,) = torch.autograd.grad(loss, whole)
        # Gradients are averaged over processes; the objective is one sum over all their images.
        weights = weights * (
            self.accelerator.num_processes if self.accelerator.process_index < len(whole) else 0
        )
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.denoiser):
                error = errors[0] if once else self.error(draws.select(part))
                self.accelerator.backward((weights[part] * error).sum())
        return loss, {name: value.detach() for name, value in risks.items()}

    def _loss(self, errors: Tensor, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        if draws.probabilities is None:
            return self.objective(errors, draws.labels)
        return self.objective(errors, draws.labels, draws.probabilities)

    def _parts(self, size: int) -> list[Tensor]:
        """This process's images of a batch, every num_processes-th, in micro-batches.

        A process without images computes image 0 with weight 0: every one must join the collective.
        """
        device = self.accelerator.device
        processes = self.accelerator.num_processes
        mine = torch.arange(self.accelerator.process_index, size, processes, device=device)
        mine = mine if len(mine) else torch.zeros(1, dtype=torch.int64, device=device)
        return list(mine.tensor_split(min(self.micro_batches, len(mine))))

    def _gathered(self, errors: Tensor, size: int) -> Tensor:
        """Every process's errors (about B / num_processes) as those of the batch (B,), in order."""
        processes = self.accelerator.num_processes
        longest = -(-size // processes)
        padded = functional.pad(errors, (0, longest - len(errors)))
        return self.accelerator.gather(padded).view(processes, longest).T.flatten()[:size].clone()


def has_dropout(denoiser: nn.Module) -> bool:
    """Whether the denoiser draws random numbers while it is trained."""
    return any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in denoiser.modules())
