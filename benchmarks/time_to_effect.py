"""Seconds of training until the effect shows: two recipes in turns.

python benchmarks/time_to_effect.py [--before RECIPE] [--after RECIPE] [--env ENV]
    [--seeds 0,1,2] [--lengths 0.8,1] [--images 2000] [--to FILE.csv]

RECIPE is what differs from conf/: a YAML file, or as in `kedro run --params`. Without them the
recipe before Muon (conf/shared/adamw.yml) is compared with that of conf/.

The effect: PU training has a non-sensitive rate at least 0.07 above that of unsupervised training,
at a Frechet distance that is not larger than that of PU training before, at its full length and the
same seed. A training is as long as planned, with its whole learning-rate schedule, so each
length (a share of the recipe's own steps) is a training of its own, and the shortest with the
effect counts. Only the training is timed. Prints a row per training and the time to the effect.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from omegaconf import OmegaConf

from pu_diffusion_pipeline.command_line import parse_params
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.metrics.fidelity import Features, features_of, frechet_distance
from pu_diffusion_pipeline.metrics.judge import Judge, judged_normal, predicted_classes
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.start import random_start
from pu_diffusion_pipeline.training.train import train

PROJECT = Path(__file__).resolve().parents[1]
ADAMW = PROJECT / "conf/shared/adamw.yml"
GAP = 0.07
METHODS = ("unsupervised", "pu")


class Row(NamedTuple):
    """A training and what it gave."""

    recipe: str
    seed: int
    steps: int
    method: str
    seconds: float
    non_sensitive_rate: float
    frechet_distance: float


class Measure:
    """What the trainings of a seed start from and are measured with."""

    def __init__(self, env: str | None, seed: int) -> None:
        given = {"env": env, "runtime_params": {"seed": seed}}
        for names in (["data_engineering"], ["train_classifier"]):
            with KedroSession.create(PROJECT, **given) as session:
                session.run(pipeline_names=names, only_missing_outputs=True)
        with KedroSession.create(PROJECT, **given) as session:
            catalog = session.load_context().catalog
            names = ("unlabeled_images", "labeled_sensitive_images")
            self.sets = TrainingSets(*(catalog.load(name) for name in names))
            self.judge: Judge = catalog.load("judge")
            self.reference: Features = catalog.load("reference_features")
        self.seed = seed

    def row(self, recipe: str, parameters: Parameters, steps: int, method: str) -> Row:
        """Train, draw, measure."""
        options = parameters.training.model_copy(update={"num_steps": steps, "num_epochs": None})
        start = random_start(parameters.denoiser, parameters.noise, parameters.data, self.seed)
        beta = parameters.beta if method == "pu" else None
        common = (options, parameters.objective, parameters.compute)
        job = Job(start, method, beta, self.seed, *common, title=f"{recipe} {method}")
        trained = train(job, self.sets)
        how = {"seed": self.seed, "compute": resolve_compute(parameters.compute)}
        images = sample_images(trained.denoiser, start.scheduler, parameters.sampling, **how)
        measured = self.measured(images, parameters)
        return Row(recipe, self.seed, steps, method, trained.seconds, *measured)

    def measured(self, images: np.ndarray, parameters: Parameters) -> tuple[float, float]:
        """The non-sensitive rate and the Frechet distance of samples."""
        features = features_of(images, self.judge, parameters.evaluation, "cpu")
        normal = judged_normal(self.judge, predicted_classes(self.judge, images, 500))
        return float(normal.mean()), frechet_distance(features, self.reference)


def rows_of_a_seed(
    env: str | None, seed: int, recipes: dict[str, dict], lengths: list[float], num_images: int
) -> Iterator[Row]:
    """Both recipes in turns, from the longest to the shortest."""
    measure = Measure(env, seed)
    for length in sorted(lengths, reverse=True):
        for name, changes in recipes.items():
            given = {**changes, "seed": seed}
            parameters = open_loader(PROJECT / "conf", env, given).final_parameters()
            full = parameters.training.num_steps
            if full is None:
                raise SystemExit(f"{name}: expected training.num_steps, got num_epochs")
            drawing = parameters.sampling.model_copy(update={"num_images": num_images})
            parameters = parameters.model_copy(update={"sampling": drawing})
            for method in METHODS:
                yield measure.row(name, parameters, round(length * full), method)


def times_to_effect(rows: list[Row]) -> Iterator[str]:
    """A line per seed and recipe."""
    for seed in sorted({row.seed for row in rows}):
        here = [row for row in rows if row.seed == seed]
        before = [row for row in here if row.recipe == "before" and row.method == "pu"]
        largest = max(before, key=lambda row: row.steps).frechet_distance
        for recipe in ("before", "after"):
            reached = [
                mean((plain.seconds, pu.seconds))
                for plain, pu in _pairs([row for row in here if row.recipe == recipe])
                if pu.non_sensitive_rate - plain.non_sensitive_rate >= GAP
                and pu.frechet_distance <= largest
            ]
            found = f"{min(reached):.0f} s a method" if reached else "not reached"
            yield f"seed {seed}, {recipe}: {found}"


def _pairs(rows: list[Row]) -> Iterator[tuple[Row, Row]]:
    """The trainings of equal length."""
    for steps in sorted({row.steps for row in rows}):
        at = {row.method: row for row in rows if row.steps == steps}
        yield at["unsupervised"], at["pu"]


def recipe(text: str) -> dict[str, object]:
    """Overrides, from a YAML file or as in `--params`."""
    if text.endswith((".yml", ".yaml")):
        return OmegaConf.to_container(OmegaConf.load(text))
    return parse_params(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", default=str(ADAMW), metavar="RECIPE")
    parser.add_argument("--after", default="", metavar="RECIPE")
    parser.add_argument("--env")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--lengths", default="0.8,1")
    parser.add_argument("--images", type=int, default=2_000, help="samples of a model")
    parser.add_argument("--to", type=Path, default=Path("time_to_effect.csv"))
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    recipes = {name: recipe(getattr(given, name)) for name in ("before", "after")}
    lengths = [float(one) for one in given.lengths.split(",")]
    rows: list[Row] = []
    for seed in map(int, given.seeds.split(",")):
        for row in rows_of_a_seed(given.env, seed, recipes, lengths, given.images):
            rows.append(row)
            print(*(f"{one:.3f}" if isinstance(one, float) else one for one in row), flush=True)
            with given.to.open("w", newline="") as file:
                csv.writer(file).writerows([Row._fields, *rows])
    print(*times_to_effect(rows), sep="\n")


if __name__ == "__main__":
    main()
