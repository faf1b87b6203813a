"""Errors of the class-prior estimators on real digits with known shares (docs/class_prior.md).

python benchmarks/class_prior.py --root DATA [--model auto] [--seeds 0,1,2] [--sizes full,embedded]

DATA holds MNIST in torchvision's layout. Full size is U = 25,000 normal digits and S = 2,500; the
embedded size U = 2,000 and S = 200; U's share of sensitive digits is 0.02, 0.0909, 0.2 and 0.5.
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.images.image_set import read_images
from pu_diffusion_pipeline.images.sources import open_source
from pu_diffusion_pipeline.positive_unlabeled.class_prior import estimate
from pu_diffusion_pipeline.positive_unlabeled.options import ClassPriorOptions
from pu_diffusion_pipeline.seeding import numpy_generator

SHARES = (0.02, 0.0909, 0.2, 0.5)
SIZES = {"full": (25_000, 2_500), "embedded": (2_000, 200)}


def draw(
    source, normal: str, size: tuple[int, int], share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """S, U and the true share in U, drawn anew for every seed from the training partition."""
    num_normal, num_labeled = size
    rng = numpy_generator(seed, "class_prior_benchmark", normal)
    sensitive = source.classes % 2 == (1 if normal == "even" else 0)
    pools = [
        rng.permutation(np.flatnonzero(~source.is_test & kind)) for kind in (~sensitive, sensitive)
    ]
    hidden = round(num_normal * share / (1 - share))
    num_normal = min(num_normal, len(pools[0]))
    hidden = min(hidden, len(pools[1]) - num_labeled)
    unlabeled = np.concatenate(
        [pools[0][:num_normal], pools[1][num_labeled : num_labeled + hidden]]
    )
    read = [
        read_images(source, rows, 32, 1)
        for rows in (pools[1][:num_labeled], rng.permutation(unlabeled))
    ]
    return (*read, hidden / (hidden + num_normal))


def fit(labeled: np.ndarray, unlabeled: np.ndarray, model: str, seed: int) -> tuple[dict, dict]:
    """The record of an estimate with the options of conf/base, and every method's value."""
    options = ClassPriorOptions(
        model=model,
        encoder=None,
        folds="auto",
        repeats=3,
        num_components=50,
        num_epochs=8,
        delta=0.1,
        num_resamples=200,
    )
    estimation = estimate(labeled, unlabeled, options, seed)
    return estimation.record, estimation.methods


def main() -> None:
    """Run every fit and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--sizes", default="full,embedded")
    options = parser.parse_args()
    source, rows = open_source("mnist", options.root, download=False), []
    for size, counts in ((size, SIZES[size]) for size in options.sizes.split(",")):
        for normal in ("even", "odd"):
            for share in SHARES:
                for seed in map(int, options.seeds.split(",")):
                    labeled, unlabeled, true = draw(source, normal, counts, share, seed)
                    begun = time.perf_counter()
                    record, methods = fit(labeled, unlabeled, options.model, seed)
                    seconds = time.perf_counter() - begun
                    row = {
                        "size": size,
                        "normal": normal,
                        "share": share,
                        "seed": seed,
                        "true": true,
                        **methods,
                    }
                    row |= {
                        "upper": record["upper"],
                        "seconds": seconds,
                        "warnings": "; ".join(record["warnings"]),
                    }
                    rows.append(row)
                    print(
                        f"{size} {normal} {true:.4f} seed {seed}: {record['estimate']:.4f} "
                        f"<= {record['upper']:.4f}, {seconds:.1f} s {row['warnings']}",
                        flush=True,
                    )
    table = pd.DataFrame(rows)
    names = [name for name in table.columns if name in methods]
    for size, part in table.groupby("size", sort=False):
        print(f"\n{size}: mean |error| over {len(part)} fits, worst, mean signed error")
        for name in names:
            error = part[name] - part["true"]
            print(
                f"| {name} | {error.abs().mean():.4f} | {error.abs().max():.4f} "
                f"| {error.mean():+.4f} |"
            )
        seconds = part["seconds"]
        print(
            f"upper bound held in {(part['upper'] >= part['true']).sum()} of {len(part)} fits; "
            f"seconds: median {seconds.median():.1f}, most {seconds.max():.1f}"
        )
        by_share = part.assign(error=(part["bbe_ratio"] - part["true"]).abs()).groupby(
            ["normal", "share"]
        )
        print(
            by_share.agg(
                estimate=("bbe_ratio", "mean"), error=("error", "mean"), upper=("upper", "mean")
            ).round(4)
        )
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
