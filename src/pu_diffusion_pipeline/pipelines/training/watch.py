"""Looks at a model while it trains: samples from the same starting noise, their rate and distance by the judge."""

from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from pu_diffusion_pipeline.atomic import replacing
from pu_diffusion_pipeline.diffusion.sampler import balanced_conditions, sample_images
from pu_diffusion_pipeline.diffusion.watching import WatchPlace
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.identity import check_settings, settings
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.parameters import Parameters


def open_watcher(
    place: WatchPlace, parameters: Parameters, noise_scheduler: Any, device: str, precision: str
) -> "JudgedSamples":
    """The watcher of a training.

    Raises:
        InvalidInput: there is no judge yet, or one made with other parameters.
    """
    from pu_diffusion_pipeline.metrics.judge import Judge

    if not (place.judge / "model.safetensors").is_file():
        raise InvalidInput(
            f"watch.every needs the judge, and there is none in {place.judge}: "
            "run the pipeline train_classifier with the same --params first"
        )
    judge = Judge.from_pretrained(place.judge)
    check_settings(judge.manifest["settings"], settings(parameters, "judge"), "The judge")
    if not (place.test_images / "manifest.json").is_file():
        raise InvalidInput(
            f"watch.every needs the real test images, and there are none in {place.test_images}: "
            "run the pipeline data_engineering with the same --params first"
        )
    return JudgedSamples(place, judge, parameters, noise_scheduler, device, precision)


class JudgedSamples:
    """Samples, measures and keeps weights every `watch.every` steps; a `trainer.Watcher`.

    Args:
        place: where.
        judge: what it sees with.
        parameters: of the run.
        noise_scheduler: the forward process.
        device: cuda, mps or cpu.
        precision: fp32, bf16 or fp16.
    """

    def __init__(
        self, place: WatchPlace, judge: Any, parameters: Parameters, noise_scheduler: Any, device: str, precision: str
    ) -> None:
        from pu_diffusion_pipeline.metrics.fidelity import Features, build_extractor, extract_features

        self.place, self.judge, self.parameters = place, judge, parameters
        self.noise_scheduler, self.device, self.precision = noise_scheduler, device, precision
        assert parameters.watch.every is not None
        self.every = parameters.watch.every
        evaluation = parameters.evaluation
        self.extractor = build_extractor(evaluation.features, judge, evaluation.inception_weights)
        saved, test_images = place.reference_features, ImageSet.from_pretrained(place.test_images)
        check_settings(test_images.manifest["settings"], settings(parameters, "source"), "The test images")
        self.reference = extract_features(
            test_images.images,
            self.extractor,
            evaluation.batch_size,
            device,
            Features.from_pretrained(saved) if (saved / "extractor.json").is_file() else None,
        )

    def check(self, num_steps: int) -> None:
        """See `trainer.Watcher`."""
        if self.parameters.watch.keep == "best" and num_steps < self.every:
            raise InvalidInput(
                f"watch.every must be at most {num_steps}, the steps of this training, with watch.keep best, "
                f"got {self.every}"
            )

    def look(self, step: int, denoiser: Any) -> None:
        """See `trainer.Watcher`."""
        from pu_diffusion_pipeline.metrics.fidelity import extract_features, frechet_distance
        from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes
        from pu_diffusion_pipeline.metrics.non_sensitive_rate import wilson_interval
        from pu_diffusion_pipeline.reports.figures import mosaic, watched_curve

        options, evaluation = self.parameters.watch, self.parameters.evaluation
        sampling = self.parameters.sampling.model_copy(update={"num_images": options.num_images})
        images = sample_images(
            denoiser,
            self.noise_scheduler,
            sampling,
            seed=self.parameters.seed,
            device=self.device,
            precision=self.precision,
            conditions=balanced_conditions(options.num_images, self.parameters.data.num_conditions),
            channels_last=self.parameters.compute.channels_last,
            title=f"look at step {step}",
        )
        normal = judged_normal(self.judge, predicted_classes(self.judge, images, evaluation.batch_size, self.device))
        low, high = wilson_interval(int(normal.sum()), len(normal))
        features = extract_features(images, self.extractor, evaluation.batch_size, self.device)
        row = {
            "step": step,
            "non_sensitive_rate": float(normal.mean()),
            "low": low,
            "high": high,
            "frechet_distance": frechet_distance(features, self.reference),
            "num_images": len(images),
        }
        earlier = self.looks()
        looks = pd.concat([earlier[earlier["step"] < step], pd.DataFrame([row])], ignore_index=True)
        with replacing(self.place.folder / "looks.csv") as temporary:
            looks.to_csv(temporary, index=False)
        with replacing(self.place.folder / f"step_{step:08d}.png") as temporary:
            mosaic(images[:100], 10, ~normal[:100]).save(temporary, "PNG")
        with replacing(self.place.folder / "curve.png") as temporary:
            watched_curve(looks).savefig(temporary, format="png", dpi=140)
        if options.keep == "all" or (options.keep == "best" and self.best(looks) == step):
            with replacing(self._weights_file(step)) as temporary:
                from safetensors.torch import save_file

                weights = {name: weight.detach().cpu().contiguous() for name, weight in denoiser.state_dict().items()}
                save_file(weights, temporary)

    def looks(self) -> pd.DataFrame:
        """A row per look so far: step, non_sensitive_rate with its Wilson interval low and high, frechet_distance."""
        path = self.place.folder / "looks.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame({"step": pd.Series(dtype="int64")})

    def best(self, looks: pd.DataFrame) -> int:
        """The step of the best look by `watch.criterion`, the first of equals."""
        values = looks[self.parameters.watch.criterion]
        row = values.idxmin() if self.parameters.watch.criterion == "frechet_distance" else values.idxmax()
        return int(looks["step"][row])

    def weights_to_return(self) -> dict[str, Tensor] | None:
        """See `trainer.Watcher`."""
        from safetensors.torch import load_file

        if self.parameters.watch.keep != "best":
            return None
        return load_file(self._weights_file(self.best(self.looks())))

    def _weights_file(self, step: int) -> Path:
        return self.place.folder / "weights" / f"step_{step:08d}.safetensors"
