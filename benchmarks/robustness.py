"""When cleaning fails and when the risk does: the same methods with less, or wrong, knowledge.

python benchmarks/robustness.py [--conditions NAME,...] [--methods NAME,...] [--seeds 0]
    [--images 1000] [--to FILE.csv]

Conditions: `usual`; `s_50`, `s_20`: so many images in S; `beta_half`, `beta_double`: every method
is given the same wrong beta; `poor_classifier`: it sees three principal components;
`noisy_scores`: Gaussian noise, as wide as the scores of U, is added to its scores; `missing_digit`:
no 1 is in S, though a fifth of the sensitive images of U are. The last column is the share of ones
among the samples. Methods: unsupervised, pu, clean, pu_clean, weighted, pu_weighted. Each model is
judged twice: as it is, and with the filter of `filtering.share`
(`<method>_filtered`). On the embedded digits; docs/frontier.md has the table.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from time_to_effect import PROJECT, Measure

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.compute import resolve_compute
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.diffusion.sampler import sample_images
from pu_diffusion_pipeline.experiment.parameters import Parameters
from pu_diffusion_pipeline.metrics.judge import predicted_classes
from pu_diffusion_pipeline.positive_unlabeled.calibration import calibrate
from pu_diffusion_pipeline.positive_unlabeled.classifier import SensitivityClassifier
from pu_diffusion_pipeline.positive_unlabeled.cleaning import (
    clean,
    in_order_of,
    least_sensitive,
    num_to_draw,
)
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.positive_unlabeled.sensitivity import Fitted, fit_sensitivity
from pu_diffusion_pipeline.training.job import Job
from pu_diffusion_pipeline.training.sets import TrainingSets
from pu_diffusion_pipeline.training.start import random_start
from pu_diffusion_pipeline.training.train import train

MISSING = 1  # the digit that S does not hold
CHANGES: dict[str, dict[str, object]] = {
    "usual": {},
    "s_50": {},
    "s_20": {},
    "beta_half": {"beta": 0.05, "sensitivity": {"beta": 0.05}},
    "beta_double": {"beta": 0.2, "sensitivity": {"beta": 0.2}},
    "poor_classifier": {"sensitivity": {"num_components": 3}},
    "noisy_scores": {},
    "missing_digit": {},
}
TRAINED = ("unsupervised", "pu", "clean", "pu_clean", "weighted", "pu_weighted")


class Row(NamedTuple):
    """A model under a condition, with or without the filter."""

    condition: str
    seed: int
    method: str
    non_sensitive_rate: float
    frechet_distance: float
    share_of_missing: float


class Knowledge(NamedTuple):
    """What the methods of a condition know."""

    parameters: Parameters
    sets: TrainingSets
    fitted: Fitted
    positions: np.ndarray


def knowledge(condition: str, measure: Measure, num_images: int) -> Knowledge:
    """U, S as the condition has it, and the classifier of both."""
    changes = {**CHANGES[condition], "seed": measure.seed, "sampling": {"num_images": num_images}}
    parameters = open_loader(PROJECT / "conf", None, changes).final_parameters()
    with KedroSession.create(PROJECT, runtime_params={"seed": measure.seed}) as session:
        catalog = session.load_context().catalog
        classes = catalog.load("raw_index").set_index("position")["class"]
        classes = classes.loc[catalog.load("labeled_sensitive_index")["position"]].to_numpy()
        positions = catalog.load("unlabeled_index")["position"].to_numpy()
    rows = np.arange(len(classes))
    if condition.startswith("s_"):
        rows = rows[: int(condition.removeprefix("s_"))]
    if condition == "missing_digit":
        rows = rows[classes != MISSING]
    labeled = measure.sets.labeled_sensitive.select(rows)
    sets = measure.sets._replace(labeled_sensitive=labeled)
    images = (np.asarray(labeled.images), np.asarray(sets.unlabeled.images))
    options = (parameters.sensitivity, parameters.class_prior)
    fitted = fit_sensitivity(*images, positions, *options)
    if condition == "noisy_scores":
        fitted = fitted._replace(classifier=noisy(fitted.classifier))
    return Knowledge(parameters, sets, fitted, positions)


@dataclass(frozen=True)
class Noisy(SensitivityClassifier):
    """A classifier whose scores hold as much noise as anything else."""

    def fold_scores(self, images: np.ndarray) -> np.ndarray:
        """See `SensitivityClassifier`."""
        scores = super().fold_scores(images)
        spread = self.scores.unlabeled.std() / np.sqrt(2)  # of what is no noise
        return scores + spread * np.random.default_rng(1).standard_normal(scores.shape[-1])


def noisy(classifier: SensitivityClassifier) -> Noisy:
    """The same with noise, calibrated again."""
    draws = np.random.default_rng(0)
    spread = classifier.scores.unlabeled.std()
    repeated = Scores(
        *(
            part + spread * draws.standard_normal(part.shape[1])
            for part in classifier.repeated_scores
        )
    )
    values = {field.name: getattr(classifier, field.name) for field in fields(classifier)}
    values["repeated_scores"] = repeated
    values["calibration"] = calibrate(
        Scores(*(part.mean(axis=0) for part in repeated)), classifier.beta
    )
    return Noisy(**values)


def training_of(method: str, known: Knowledge) -> tuple[TrainingSets, float | None]:
    """The sets and the beta of a method."""
    sets = known.sets
    classifier = known.fitted.classifier
    beta = known.parameters.beta if METHODS[method].uses_beta else None
    if METHODS[method].unlabeled == "cleaned_images":
        cleaned = clean(classifier, known.positions, known.parameters.cleaning.probability)
        print(cleaned.record, flush=True)
        sets = sets._replace(unlabeled=sets.unlabeled.select(cleaned.rows))
        beta = cleaned.beta if METHODS[method].beta is not None else None
    if METHODS[method].weighs:
        probabilities = in_order_of(classifier, known.positions)
        sets = sets.weighed(pd.DataFrame({"probability": probabilities}))
    return sets, beta


def rows_of(condition: str, method: str, known: Knowledge, measure: Measure) -> Iterator[Row]:
    """Train, sample, judge: as it is, and filtered."""
    parameters = known.parameters
    start = random_start(parameters.denoiser, parameters.noise, parameters.data, measure.seed)
    sets, beta = training_of(method, known)
    common = (parameters.training, parameters.objective, parameters.compute)
    title = f"{condition} {method}"
    trained = train(Job(start, method, beta, measure.seed, *common, title), sets)
    num_images = parameters.sampling.num_images
    more = num_to_draw(num_images, parameters.filtering.share)
    sampling = parameters.sampling.model_copy(update={"num_images": more})
    how = {"seed": measure.seed, "compute": resolve_compute(parameters.compute), "title": title}
    drawn = sample_images(trained.denoiser, start.scheduler, sampling, **how)
    kept = least_sensitive(known.fitted.classifier, drawn, num_images)
    for name, images in ((method, drawn[:num_images]), (f"{method}_filtered", drawn[kept])):
        digits = predicted_classes(measure.judge, images, 500)
        measured = measure.measured(images, parameters)
        yield Row(condition, measure.seed, name, *measured, float((digits == MISSING).mean()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conditions", default=",".join(CHANGES))
    parser.add_argument("--methods", default="pu,clean,pu_clean")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--images", type=int, default=1_000, help="samples of a model")
    parser.add_argument("--to", type=Path, default=Path("robustness.csv"))
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    rows: list[Row] = []
    for seed in map(int, given.seeds.split(",")):
        measure = Measure(None, seed)
        for condition in given.conditions.split(","):
            known = knowledge(condition, measure, given.images)
            for method in given.methods.split(","):
                for row in rows_of(condition, method, known, measure):
                    rows.append(row)
                    print(
                        *(f"{one:.3f}" if isinstance(one, float) else one for one in row),
                        flush=True,
                    )
                with given.to.open("w", newline="") as file:
                    csv.writer(file).writerows([Row._fields, *rows])


if __name__ == "__main__":
    main()
