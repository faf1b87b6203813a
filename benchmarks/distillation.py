"""Can the filter be put back into the weights? docs/frontier.md has the table.

python benchmarks/distillation.py NAME ... [--seed 0] [--images 1000]

Needs `kedro run --pipeline=frontier`. Each NAME is a training. From random weights with the default
recipe: `samples` on the filtered samples alone, `samples_and_u` on the cleaned U as well. In 60
steps of AdamW at 3e-4 from the model of `pu_clean`: `more_u` on the cleaned U; `rejected` and
`s_and_rejected` by the PU risk with beta 0.05, where what the filter rejected is S, or is added to
S. Prints the non-sensitive rate and the Frechet distance.
"""

import argparse

import numpy as np
from diffusers import DDPMPipeline
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from time_to_effect import PROJECT, Measure

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.start import random_start
from pu_diffusion_pipeline.training.train import train

NAMES = ("samples", "samples_and_u", "more_u", "rejected", "s_and_rejected")
FINE_TUNING = {
    "num_steps": 60,
    "muon_learning_rate": None,
    "learning_rate": 3e-4,
    "warmup_steps": 0,
}
BETA = 0.05


class Saved:
    """What the frontier's run of a seed left."""

    def __init__(self, seed: int) -> None:
        with KedroSession.create(PROJECT, runtime_params={"seed": seed}) as session:
            catalog = session.load_context().catalog
            self.model: DDPMPipeline = catalog.load("pu_clean.model")
            self.cleaned = np.asarray(catalog.load("cleaned_images").images)
            self.kept = np.asarray(catalog.load("pu_clean_filtered.samples").images)
            drawn = catalog.load("pu_clean.samples").images
        known = {image.tobytes() for image in self.kept}
        self.rejected = np.stack([image for image in drawn if image.tobytes() not in known])

    def sets(self, name: str, labeled_sensitive: np.ndarray) -> TrainingSets:
        """The training sets of a variant."""
        unlabeled = {
            "samples": self.kept,
            "samples_and_u": np.concatenate([self.kept, self.cleaned]),
        }.get(name, self.cleaned)
        sensitive = {
            "rejected": self.rejected,
            "s_and_rejected": np.concatenate([labeled_sensitive, self.rejected]),
        }.get(name, labeled_sensitive)
        return TrainingSets(ImageSet(unlabeled), ImageSet(sensitive))


def job(name: str, saved: Saved, parameters: Parameters) -> Job:
    """The training of a variant."""
    training = parameters.training
    start = random_start(parameters.denoiser, parameters.noise, parameters.data, parameters.seed)
    if not name.startswith("samples"):
        start = saved.model
        training = training.model_copy(update=FINE_TUNING)
    method = "pu" if name.endswith("rejected") else "unsupervised"
    beta = BETA if method == "pu" else None
    common = (training, parameters.objective, parameters.compute)
    return Job(start, method, beta, parameters.seed, *common, title=name)


def main() -> None:
    """Train, sample and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=NAMES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    measure = Measure(None, given.seed)
    changes = {"seed": given.seed, "sampling": {"num_images": given.images}}
    parameters = open_loader(PROJECT / "conf", None, changes).final_parameters()
    how = {"seed": given.seed, "compute": resolve_compute(parameters.compute)}
    for name in given.names:
        saved = Saved(given.seed)
        asked = job(name, saved, parameters)
        sets = saved.sets(name, np.asarray(measure.sets.labeled_sensitive.images))
        trained = train(asked, sets)
        images = sample_images(trained.denoiser, asked.model.scheduler, parameters.sampling, **how)
        rate, distance = measure.measured(images, parameters)
        print(f"{name}: NSR {rate:.3f}, FD {distance:.1f}", flush=True)


if __name__ == "__main__":
    main()
