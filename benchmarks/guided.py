"""Ways of pushing samples away from what is sensitive. docs/frontier.md has the table.

python benchmarks/guided.py NAME ... [--seed 0] [--images 1000] [--weights 0.5,1,2]

Needs `kedro run --pipeline=frontier`. Each NAME is a way to draw:
`twice`: the model of `pu` with twice the steps, which costs what two models cost. Away from another
model, by each weight: `unsupervised`; `sensitive`, trained on S alone; `earlier`, the averaged
weights of the same PU training after a quarter of its steps. With r / (1 - r) for the weight, r
followed along the chain (Koulischer et al. 2024) and at most 0.8: `dynamic` starts from
`unsupervised` and goes away from `sensitive`; `flag` does the same with one network that was
trained on U and S with a flag, whose beta is free after training. Prints the non-sensitive rate,
the Frechet distance and the recall.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import log

import numpy as np
import torch
from diffusers import DDPMPipeline, UNet2DModel
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from time_to_effect import PROJECT, Measure
from torch import Tensor, nn

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.guidance import Away
from pu_diffusion_pipeline.diffusion.options import GuidingOptions
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.fidelity import distances, features_of
from pu_diffusion_pipeline.metrics.judge import judged_normal, predicted_classes
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.start import random_start
from pu_diffusion_pipeline.training.train import train

CONSTANT = ("unsupervised", "sensitive", "earlier")
NAMES = ("twice", *CONSTANT, "dynamic", "flag")
MOST = 0.8  # of r, so that a weight is at most 4
SENSITIVE_SHARE = 0.5  # of the flag's training set: S is repeated up to it
Predict = Callable[[Tensor, Tensor], Tensor]


class Tracked(nn.Module):
    """D_U + r / (1 - r) (D_U - D_S), with r = P(sensitive | the chain so far) for each image.

    From one noise level to the next a model's step is Gaussian, with a mean that is linear in what
    it takes for the clean image. The log odds grow by the log ratio of the two models' densities.

    Args:
        unet: whose config and device the sampler reads.
        scheduler: the forward process; the models predict v.
        of_all: D_U.
        of_sensitive: D_S.
        beta: r before the first step.
    """

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: object,
        of_all: Predict,
        of_sensitive: Predict,
        beta: float,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.config = unet.config
        self.signal = scheduler.alphas_cumprod.double()
        self.predict = (of_all, of_sensitive)
        self.beta = beta
        self.last: tuple[int, Tensor, list[Tensor]] | None = None
        self.log_r = torch.zeros(0)

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return self.unet.device

    def forward(self, noisy: Tensor, timestep: Tensor, **conditions: Tensor) -> object:
        """As the denoiser."""
        now = int(timestep)
        if self.last is None or now > self.last[0]:
            self.log_r = torch.full((len(noisy),), log(self.beta), dtype=torch.float64)
        elif now < self.last[0]:
            self.log_r = (self.log_r + self._log_ratio(noisy, now)).clamp(-20, log(MOST))
        predicted = [predict(noisy, timestep).float() for predict in self.predict]
        scale, noise = self.signal[now].sqrt(), (1 - self.signal[now]).sqrt()
        self.last = (now, noisy, [scale * noisy - noise * one for one in predicted])
        r = self.log_r.exp()
        weight = (r / (1 - r)).float().view(-1, 1, 1, 1)
        of_all, of_sensitive = predicted
        sample = of_all + weight * (of_all - of_sensitive)
        return type("Prediction", (), {"sample": sample})()

    def _log_ratio(self, noisy: Tensor, now: int) -> Tensor:
        """(B,) log p_S(x_now | x_before) - log p_U(x_now | x_before)."""
        before, noisy_before, clean = self.last
        there, here = self.signal[before], self.signal[now]
        step = there / here
        of_clean = here.sqrt() * (1 - step) / (1 - there)
        of_noisy = step.sqrt() * (1 - here) / (1 - there)
        variance = (1 - here) / (1 - there) * (1 - step)
        off = [
            (noisy.double() - of_noisy * noisy_before.double() - of_clean * one).square()
            for one in clean
        ]
        return ((off[0] - off[1]) / (2 * variance)).flatten(1).sum(1)


class Reached(Exception):
    """The training has come to the step that was wanted."""


class Earlier:
    """Keeps the averaged weights of one step and ends the training; an `observers.Watcher`."""

    def __init__(self, step: int) -> None:
        self.every = step
        self.weights: dict[str, Tensor] = {}

    def check(self, num_steps: int) -> None:
        """See `observers.Watcher`; any length will do."""

    def look(self, step: int, denoiser: UNet2DModel) -> None:
        """See `observers.Watcher`."""
        if step == self.every:
            self.weights = {name: one.clone() for name, one in denoiser.state_dict().items()}
            raise Reached

    def weights_to_return(self) -> dict[str, Tensor] | None:
        """See `observers.Watcher`."""
        return None


class Models:
    """The frontier's models of a seed, and those that are trained here."""

    def __init__(self, measure: Measure, parameters: Parameters) -> None:
        self.sets = measure.sets
        self.parameters = parameters
        with KedroSession.create(PROJECT, runtime_params={"seed": parameters.seed}) as session:
            catalog = session.load_context().catalog
            self.pu: DDPMPipeline = catalog.load("pu.model")
            self.unsupervised: DDPMPipeline = catalog.load("unsupervised.model")

    def start(self, num_conditions: int | None = None) -> DDPMPipeline:
        """Random weights."""
        data = self.parameters.data.model_copy(update={"num_conditions": num_conditions})
        return random_start(
            self.parameters.denoiser, self.parameters.noise, data, self.parameters.seed
        )

    def trained(
        self, sets: TrainingSets, start: DDPMPipeline, method: str = "unsupervised", **more: object
    ) -> UNet2DModel:
        """With the recipe of the benchmark."""
        beta = self.parameters.beta if method == "pu" else None
        options = (self.parameters.training, self.parameters.objective, self.parameters.compute)
        job = Job(start, method, beta, self.parameters.seed, *options, title=method)
        return train(job, sets, **more).denoiser.eval()

    def sensitive(self) -> UNet2DModel:
        """A model of S alone."""
        of_s = self.sets.labeled_sensitive
        return self.trained(TrainingSets(of_s, of_s.select(slice(0))), self.start())

    def earlier(self) -> UNet2DModel:
        """The PU model after a quarter of its steps."""
        kept = Earlier(self.parameters.training.num_steps // 4)
        with suppress(Reached):
            self.trained(self.sets, self.start(), "pu", watcher=kept)
        unet = self.start().unet
        unet.load_state_dict(kept.weights)
        return unet.eval()

    def flagged(self) -> UNet2DModel:
        """One network: condition 0 is U, 1 is S."""
        unlabeled, sensitive = (
            np.asarray(one.images) for one in (self.sets.unlabeled, self.sets.labeled_sensitive)
        )
        count = round(len(unlabeled) * SENSITIVE_SHARE / (1 - SENSITIVE_SHARE))
        repeated = np.resize(np.arange(len(sensitive)), count)
        images = np.concatenate([unlabeled, sensitive[repeated]])
        flags = np.repeat(np.arange(2), [len(unlabeled), count])
        sets = TrainingSets(ImageSet(images, {}, flags), ImageSet(images[:0], {}, flags[:0]))
        return self.trained(sets, self.start(num_conditions=2))


def ways(name: str, models: Models, weights: list[float]) -> Iterator[tuple[str, dict]]:
    """What `sample_images` is given: `denoiser` and what else differs."""
    pu = models.pu.unet.eval()
    if name == "twice":
        yield name, {"denoiser": pu, "steps": 2}
    elif name in CONSTANT:
        others = {"unsupervised": lambda: models.unsupervised.unet}
        others |= {one: getattr(models, one) for one in CONSTANT[1:]}
        other = DDPMPipeline(unet=others[name]().eval(), scheduler=models.pu.scheduler)
        for weight in weights:
            options = GuidingOptions(weight=weight, timesteps=(0, 1000))
            away = Away.from_model(other, models.pu, options)
            yield f"{name}, {weight}", {"denoiser": pu, "away": away}
    else:
        yield name, {"denoiser": tracked(name, models)}


def tracked(name: str, models: Models) -> Tracked:
    """The sampler whose weight follows the chain."""
    if name == "dynamic":
        plain, sensitive = models.unsupervised.unet.eval(), models.sensitive()
        predict = (plain, sensitive)
        both = [lambda x, t, net=net: net(x, t).sample for net in predict]
        unet = plain
    else:
        unet = models.flagged()

        def asked(flag: int) -> Predict:
            return lambda x, t: unet(x, t, class_labels=torch.full((len(x),), flag)).sample

        both = [asked(0), asked(1)]
    return Tracked(unet, models.pu.scheduler, *both, beta=models.parameters.beta)


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=NAMES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--weights", default="0.5,1,2")
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    measure = Measure(None, given.seed)
    changes = {"seed": given.seed, "sampling": {"num_images": given.images}}
    parameters = open_loader(PROJECT / "conf", None, changes).final_parameters()
    weights = [float(one) for one in given.weights.split(",")]
    how = {"seed": given.seed, "compute": resolve_compute(parameters.compute)}
    models = Models(measure, parameters)
    for name in given.names:
        for title, drawn in ways(name, models, weights):
            steps = parameters.sampling.num_steps * drawn.pop("steps", 1)
            options = parameters.sampling.model_copy(update={"num_steps": steps})
            denoiser = drawn.pop("denoiser")
            images = sample_images(denoiser, models.pu.scheduler, options, **how, **drawn)
            print(f"{title}: {measured(images, measure, parameters)}", flush=True)


def measured(images: np.ndarray, measure: Measure, parameters: Parameters) -> str:
    """Rate, distance, recall."""
    judge, options = measure.judge, parameters.evaluation
    normal = judged_normal(judge, predicted_classes(judge, images, 500)).mean()
    found = distances(
        features_of(images, judge, options, "cpu"),
        measure.reference,
        kid_subsets=options.kid_subsets,
        kid_subset_size=options.kid_subset_size,
        neighborhood=options.neighborhood,
    )
    distance, recall = found["frechet_distance"], found["recall"]
    return f"NSR {normal:.3f}, FD {distance:.1f}, recall {recall:.3f}"


if __name__ == "__main__":
    main()
