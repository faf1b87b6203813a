"""Looks at a model while it trains: samples from the same starting noise, judged and measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save
from torch import Tensor

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.diffusion.compute import Compute
from pu_diffusion_pipeline.diffusion.options import SamplingOptions
from pu_diffusion_pipeline.diffusion.sampler import balanced_conditions, sample_images
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.fidelity import (
    Features,
    build_extractor,
    extract_features,
    frechet_distance,
)
from pu_diffusion_pipeline.metrics.judge import Judge, judged_normal, predicted_classes
from pu_diffusion_pipeline.metrics.non_sensitive_rate import wilson_interval
from pu_diffusion_pipeline.metrics.options import EvaluationOptions
from pu_diffusion_pipeline.training.options import WatchOptions

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

SHOWN = 100  # samples in a look's picture


@dataclass(frozen=True)
class WatchSetup:
    """What a training is watched with.

    Attributes:
        judge: who decides normal or sensitive.
        reference: features of the real test images, by the extractor of `evaluation`.
        folder: where the looks go.
        watch: how often, and which weights are kept.
        sampling: how a look's images are drawn; their number is `watch.num_images`.
        evaluation: which features the distance uses.
    """

    judge: Judge
    reference: Features
    folder: Path
    watch: WatchOptions
    sampling: SamplingOptions
    evaluation: EvaluationOptions


class JudgedSamples:
    """Samples, measures and keeps weights every `watch.every` steps; an `observers.Watcher`.

    Args:
        setup: what it looks with.
        noise_scheduler: the forward process of the training.
        seed: of the training.
        compute: where and how precisely.

    Raises:
        InvalidInput: the reference features are of another extractor.
    """

    def __init__(
        self,
        setup: WatchSetup,
        noise_scheduler: DDPMScheduler,
        seed: int,
        compute: Compute,
    ) -> None:
        assert setup.watch.every is not None
        self.every = setup.watch.every
        self._setup = setup
        self._noise_scheduler = noise_scheduler
        self._seed = seed
        self._compute = compute
        self._extractor = build_extractor(
            setup.evaluation.features, setup.judge, setup.evaluation.inception_weights
        )
        _check_extractor(setup.reference, self._extractor.name, self._extractor.weights_digest)

    def check(self, num_steps: int) -> None:
        """See `observers.Watcher`."""
        if num_steps < self.every:
            raise InvalidInput(
                f"watch.every must be at most {num_steps}, the steps of this training, "
                f"got {self.every}"
            )

    def look(self, step: int, denoiser: UNet2DModel) -> None:
        """See `observers.Watcher`."""
        images = self._sample(step, denoiser)
        batch_size = self._setup.evaluation.batch_size
        classes = predicted_classes(self._setup.judge, images, batch_size, self._compute.device)
        is_normal = judged_normal(self._setup.judge, classes)
        looks = self._looks_with(step, self._measure(images, is_normal))
        keep = self._setup.watch.keep
        if keep == "all" or (keep == "best" and self.best(looks) == step):
            self._save_weights(step, denoiser)  # a look counts once its weights are there
        with atomic_write(self._setup.folder / "looks.csv") as temporary:
            looks.to_csv(temporary, index=False)
        self._draw(step, images, is_normal, looks)

    def looks(self) -> pd.DataFrame:
        """A row per look so far.

        Columns: step, non_sensitive_rate with its Wilson interval low and high, frechet_distance,
        num_images.
        """
        path = self._setup.folder / "looks.csv"
        if not path.is_file():
            return pd.DataFrame({"step": pd.Series(dtype="int64")})
        return pd.read_csv(path)

    def best(self, looks: pd.DataFrame) -> int:
        """The step of the best look by `watch.criterion`, the first of equals."""
        criterion = self._setup.watch.criterion
        values = looks[criterion]
        row = values.idxmin() if criterion == "frechet_distance" else values.idxmax()
        return int(looks["step"][row])

    def weights_to_return(self) -> dict[str, Tensor] | None:
        """See `observers.Watcher`.

        Raises:
            InvalidInput: no look could be written.
        """
        if self._setup.watch.keep != "best":
            return None
        looks = self.looks()
        if looks.empty:
            raise InvalidInput(
                f"watch.keep best: no look could be written to {self._setup.folder}, so there are "
                "no best weights. Make room there and run the same command again."
            )
        return load_file(self._weights_file(self.best(looks)))

    def _sample(self, step: int, denoiser: UNet2DModel) -> np.ndarray:
        num_images = self._setup.watch.num_images
        num_classes = denoiser.config.num_class_embeds
        num_conditions = None if num_classes is None else num_classes - 1
        return sample_images(
            denoiser,
            self._noise_scheduler,
            self._setup.sampling.model_copy(update={"num_images": num_images, "num_processes": 1}),
            seed=self._seed,
            compute=self._compute,
            conditions=balanced_conditions(num_images, num_conditions),
            title=f"look at step {step}",
        )

    def _measure(self, images: np.ndarray, is_normal: np.ndarray) -> dict[str, float]:
        low, high = wilson_interval(int(is_normal.sum()), len(is_normal))
        batch_size = self._setup.evaluation.batch_size
        features = extract_features(images, self._extractor, batch_size, self._compute.device)
        return {
            "non_sensitive_rate": float(is_normal.mean()),
            "low": low,
            "high": high,
            "frechet_distance": frechet_distance(features, self._setup.reference),
            "num_images": len(images),
        }

    def _looks_with(self, step: int, measured: dict[str, float]) -> pd.DataFrame:
        """The looks with a new one; after resuming it replaces the earlier one of its step."""
        row = pd.DataFrame([{"step": step, **measured}])
        looks = self.looks()
        return pd.concat([looks[looks["step"] < step], row], ignore_index=True)

    def _draw(
        self, step: int, images: np.ndarray, is_normal: np.ndarray, looks: pd.DataFrame
    ) -> None:
        from pu_diffusion_pipeline.reports.figures import mosaic, watched_curve

        with atomic_write(self._setup.folder / f"step_{step:08d}.png") as temporary:
            mosaic(images[:SHOWN], 10, ~is_normal[:SHOWN]).save(temporary, "PNG")
        with atomic_write(self._setup.folder / "curve.png") as temporary:
            watched_curve(looks).savefig(temporary, format="png", dpi=140)

    def _save_weights(self, step: int, denoiser: UNet2DModel) -> None:
        state = denoiser.state_dict()
        weights = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        with atomic_write(self._weights_file(step)) as temporary:
            temporary.write_bytes(save(weights))  # `save_file` hides that the disk is full

    def _weights_file(self, step: int) -> Path:
        return self._setup.folder / "weights" / f"step_{step:08d}.safetensors"


def _check_extractor(reference: Features, name: str, weights_digest: str) -> None:
    if (reference.extractor, reference.weights_digest) != (name, weights_digest):
        raise InvalidInput(
            f"the reference features were made by {reference.extractor}, the looks use {name} "
            "with other weights; make the features anew (pipeline train_classifier)"
        )
