"""The training loop of every method, on accelerate: noise, predict, error, objective, step.

Everything random in a step follows from the seed and the step's number, so a resumed run draws what it would have
drawn. U's part of a batch (images, noise, timesteps) is the same for every method with the same seed.
"""

import errno
import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pu_diffusion_pipeline.console import reporting
from pu_diffusion_pipeline.diffusion.batches import build_batches, length_in_steps, take
from pu_diffusion_pipeline.diffusion.checkpoints import CheckpointStore
from pu_diffusion_pipeline.diffusion.compute import (
    build_accelerator,
    compile_denoiser,
    return_freed_memory,
    reuse_freed_memory,
    use_fast_attention,
)
from pu_diffusion_pipeline.diffusion.draws import Draws, RandomDraws
from pu_diffusion_pipeline.diffusion.gradients import BatchGradients
from pu_diffusion_pipeline.diffusion.meter import Meter
from pu_diffusion_pipeline.diffusion.noising import denoising_error
from pu_diffusion_pipeline.diffusion.objectives import Objective
from pu_diffusion_pipeline.diffusion.schedules import cosine_with_warmup, load_optimizer, moving_average
from pu_diffusion_pipeline.diffusion.watching import Watcher
from pu_diffusion_pipeline.errors import InvalidInput, TrainingDiverged
from pu_diffusion_pipeline.parameters import Training
from pu_diffusion_pipeline.positive_unlabeled.labels import SETS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """Attributes:
    denoiser: the trained model, with averaged (EMA) weights where the settings ask for them; on the CPU.
    history: a row per `log_every` steps: step, loss, risks, gradient norm, learning rate, images per second.
    seconds: training time, over all resumptions.
    num_steps: steps taken.
    """  # fmt: skip

    denoiser: Any
    history: list[dict[str, float]]
    seconds: float
    num_steps: int


class Trainer:
    """One training run. Several processes share every batch if accelerate finds that it was launched so.

    Args:
        denoiser: a UNet2DModel or the like; trained in place.
        noise_scheduler: the forward process.
        objective: the method's objective.
        settings: optimisation settings.
        error_options: `error_space` and `reduction` of `denoising_error`.
        seed: the run's seed.
        device: cuda, mps or cpu.
        precision: fp32, bf16 or fp16; weights and the error stay float32.
        checkpoints: where resume states go; None keeps none.
        sets: the training sets that the objective looks at; images of the others are not computed.
        condition_dropout: share of conditions that are dropped in conditional training, so that the denoiser also
            learns to do without (classifier-free guidance, Ho & Salimans 2022).
        channels_last: keep images and weights in this memory layout.
        compiled: run the denoiser through torch.compile.
        watcher: looks at the model every so many steps; None: nobody does.
    """

    def __init__(
        self,
        denoiser: Any,
        noise_scheduler: Any,
        objective: Objective,
        settings: Training,
        *,
        error_options: dict[str, str],
        seed: int,
        device: str,
        precision: str,
        checkpoints: CheckpointStore | None = None,
        sets: tuple[str, ...] = SETS[:2],
        condition_dropout: float = 0.0,
        channels_last: bool = False,
        compiled: bool = False,
        watcher: Watcher | None = None,
    ) -> None:
        self.settings, self.seed, self.sets, self.checkpoints = settings, seed, sets, checkpoints
        self.noise_scheduler, self.error_options = noise_scheduler, error_options
        self.precision, self.accelerator = precision, build_accelerator(device, precision)
        self.device, self.is_first = self.accelerator.device, self.accelerator.is_main_process
        self.watcher = watcher if self.is_first else None
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        denoiser = denoiser.to(memory_format=self.memory_format)
        use_fast_attention(denoiser, device)
        optimizer = torch.optim.AdamW(
            denoiser.parameters(),
            lr=settings.learning_rate,
            betas=settings.adam_betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.denoiser, self.optimizer = self.accelerator.prepare(denoiser, optimizer)
        self.predict = compile_denoiser(self.denoiser) if compiled else self.denoiser
        self.draws = RandomDraws(
            seed, self.device, noise_scheduler.config.num_train_timesteps, settings.timesteps, condition_dropout
        )
        self.gradients = BatchGradients(
            self.accelerator, self.denoiser, self._error, objective, settings.batch_size, settings.accumulation
        )
        self.step, self.seconds, self.history = 0, 0.0, []

    def fit(
        self,
        unlabeled: np.ndarray,
        labeled_sensitive: np.ndarray,
        labeled_normal: np.ndarray | None = None,
        *,
        conditions: tuple[np.ndarray, ...] | None = None,
        title: str = "train",
    ) -> Trained:
        """Train, from the newest resume state if there is one.

        Args:
            unlabeled: U, (N, C, H, W) uint8.
            labeled_sensitive: S, (M, C, H, W) uint8.
            labeled_normal: N, (K, C, H, W) uint8, for methods that use it.
            conditions: int64, the condition c (Eq. 20) of every image of the sets given; None: unconditional.
            title: stands before the progress bar.

        Raises:
            InvalidInput: a set that the objective looks at is empty.
            TrainingDiverged: the loss is no longer finite.
        """
        settings, none = self.settings, unlabeled[:0]
        images = (unlabeled, labeled_sensitive, none if labeled_normal is None else labeled_normal)
        for name, part in zip(SETS, images, strict=True):
            if name in self.sets and len(part) == 0:
                raise InvalidInput(f"the set {name} is empty; this method needs at least one image in it")
        if conditions is not None and labeled_normal is None:
            conditions = (*conditions, np.zeros(0, dtype=np.int64))
        sizes = len(unlabeled), len(labeled_sensitive)
        total = length_in_steps(settings.num_steps, settings.num_epochs, sum(sizes), settings.batch_size)
        self.lr_scheduler = cosine_with_warmup(self.optimizer.optimizer, settings.warmup_steps, total)
        self.ema = moving_average(self.accelerator.unwrap_model(self.denoiser), settings.ema_decay)
        if self._resume():
            return self._result()
        if self.watcher is not None:
            self.watcher.check(total)
        num_normal = len(images[2]) if SETS[2] in self.sets else 0
        batches = build_batches(settings.batches, *sizes, settings.batch_size, self.seed, num_normal)
        reuse_freed_memory()
        with reporting(title, total, shown=self.is_first) as reporter:
            self._take_steps(total, batches, images, conditions, reporter)
        return_freed_memory()
        self._use_final_weights()
        self._save(self._finished_state())
        return self._result()

    def _take_steps(self, total: int, batches: Any, images: Any, conditions: Any, reporter: Any) -> None:
        meter, begun = Meter(), time.perf_counter() - self.seconds
        self.denoiser.train()
        while self.step < total:
            rows = batches.at(self.step).of(self.sets)
            given = None if conditions is None else take(conditions, rows)
            meter.add(self._train_step(take(images, rows), given))
            self.step += 1
            self.seconds = time.perf_counter() - begun
            if self.step % self.settings.log_every == 0 or self.step == total:
                self._log(meter, reporter)
            if self.watcher is not None and self.step % self.watcher.every == 0:
                begun += self._look()
            if self.step % self.settings.checkpoint_every == 0 and self.step < total:
                self._save(self._state())

    def _use_final_weights(self) -> None:
        """Averaged weights where the settings ask for them, or those that the watcher has chosen."""
        denoiser = self.accelerator.unwrap_model(self.denoiser)
        if self.ema is not None:
            self.ema.copy_to(denoiser.parameters())
        if self.watcher is not None and (chosen := self.watcher.weights_to_return()) is not None:
            denoiser.load_state_dict(chosen)

    def _train_step(self, images: list[np.ndarray], conditions: list[np.ndarray] | None = None) -> dict[str, Tensor]:
        none = None if conditions is None else self.accelerator.unwrap_model(self.denoiser).config.num_class_embeds - 1
        draws = self.draws.at(self.step, images, conditions, none)
        loss, risks = self.gradients.backward(draws)
        gradient_norm = self.accelerator.clip_grad_norm_(self.denoiser.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.lr_scheduler.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.step(self.denoiser.parameters())
        counted = {"gradient_norm": gradient_norm, "num_images": torch.tensor(float(len(draws.labels)))}
        return {"loss": loss.detach(), **risks, **counted}

    def _error(self, draws: Draws) -> Tensor:
        with self.accelerator.autocast():
            return denoising_error(
                self.predict,
                self.noise_scheduler,
                draws.clean_images.contiguous(memory_format=self.memory_format),
                draws.noise.contiguous(memory_format=self.memory_format),
                draws.timesteps,
                conditions=draws.conditions,
                **self.error_options,
            )

    def _log(self, meter: Meter, reporter: Any) -> None:
        row = {"step": self.step, **meter.flush(), "learning_rate": self.lr_scheduler.get_last_lr()[0]}
        images = row.pop("num_images") * row["step"]
        row["images_per_second"] = images / self.seconds
        # With loss scaling (fp16) an infinite gradient is no alarm: that step is skipped and the scale lowered.
        watched = [row["loss"]] if self.accelerator.scaler else [row["loss"], row["gradient_norm"]]
        is_dead = self.accelerator.scaler is not None and self.accelerator.scaler.get_scale() < 1
        if is_dead or not np.isfinite(watched).all():
            raise TrainingDiverged(
                f"The loss or its gradient is not finite by step {self.step} "
                f"(last good checkpoint: {self._last_checkpoint()}). Likely causes: training.learning_rate "
                f"{self.settings.learning_rate} too high, fp16, objective.correction none or a beta too large."
            )
        self.history.append(row)
        shown = ("loss", "unlabeled_negative", "sensitive_negative", "sensitive_positive")
        named = " ".join(f"{name} {row[name]:.4g}" for name in shown if name in row)
        reporter.update(self.step, f"{named}  {row['images_per_second']:.0f} images/s")

    def _last_checkpoint(self) -> str:
        state = self.checkpoints.latest() if self.checkpoints else None
        return f"step {state['step']} in {self.checkpoints.folder}" if state and self.checkpoints else "none"

    def _state(self) -> dict[str, Any]:
        return {
            "finished": False,
            "precision": self.precision,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "denoiser": self.accelerator.unwrap_model(self.denoiser).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "scaler": None if self.accelerator.scaler is None else self.accelerator.scaler.state_dict(),
        }

    def _finished_state(self) -> dict[str, Any]:
        kept = ("step", "seconds", "history", "denoiser")
        return {**{name: value for name, value in self._state().items() if name in kept}, "finished": True}

    def _look(self) -> float:
        """Let the watcher look at the weights that would be returned now; the seconds it took."""
        begun, denoiser = time.perf_counter(), self.accelerator.unwrap_model(self.denoiser)
        if self.ema is not None:
            self.ema.store(denoiser.parameters())
            self.ema.copy_to(denoiser.parameters())
        try:
            self.watcher.look(self.step, denoiser.eval())
        except OSError as error:
            self._go_on_without_room("look", error)
        if self.ema is not None:
            self.ema.restore(denoiser.parameters())
        denoiser.train()
        return time.perf_counter() - begun

    def _save(self, state: dict[str, Any]) -> None:
        """Write a resume state; if there is no room for it, training goes on without."""
        if self.checkpoints is None or not self.is_first:
            return
        try:
            self.checkpoints.save(state)
        except OSError as error:
            self._go_on_without_room("resume state", error)

    def _go_on_without_room(self, what: str, error: OSError) -> None:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise error
        log.warning(
            "The %s of step %d could not be written (%s); training goes on. Last good checkpoint: %s",
            what,
            self.step,
            error.strerror,
            self._last_checkpoint(),
        )

    def _resume(self) -> bool:
        """Take up the newest resume state; true if the run was finished already."""
        state = self.checkpoints.latest() if self.checkpoints else None
        if state is None:
            return False
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self.accelerator.unwrap_model(self.denoiser).load_state_dict(state["denoiser"])
        if state["finished"]:
            log.info("This training is finished already (%s); nothing to do", self.checkpoints.folder)
            return True
        if state["precision"] != self.precision:
            raise InvalidInput(
                f"This training was begun in {state['precision']} and would go on in {self.precision}: write "
                f"compute.precision: {state['precision']}, or start over by deleting {self.checkpoints.folder}"
            )
        log.info("Resuming at step %d from %s", self.step, self.checkpoints.folder)
        load_optimizer(self.optimizer.optimizer, state["optimizer"])
        self.lr_scheduler.load_state_dict(state["lr_scheduler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.device)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return False

    def _result(self) -> Trained:
        # Mixed precision wraps `forward`; the plain model is what gets saved and sampled from.
        denoiser = self.accelerator.unwrap_model(self.denoiser, keep_fp32_wrapper=False).cpu().eval()
        denoiser = denoiser.to(memory_format=torch.contiguous_format)
        return Trained(denoiser, self.history, self.seconds, self.step)
