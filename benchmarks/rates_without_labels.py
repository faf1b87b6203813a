"""Rates estimated without labels, beside a judge that was told: the tables of docs/results.md.

python benchmarks/rates_without_labels.py BENCHMARK [--judge FOLDER --judge-report FILE]
    [--labels FILE] [--data data]

BENCHMARK is one of a user's own images whose runs of unsupervised and pu were sampled. The
classifier of sensitivity is fitted anew with the options of conf/base. The judge's count is that of
metrics.json if the benchmark has labels; else FOLDER is a judge that was trained with true labels,
such as data/06_models/digits_even/judge/default/model. FILE is the folder's labels.csv, which no
run has read: it says how many sensitive images are at the top of the review list.

The judge's rate is shown as counted, and corrected for the errors that the judge makes on real
images (Rogan & Gladen), as the estimate is: --judge-report is its judge_report.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.images.image_set import ImageSet
from pu_diffusion_pipeline.metrics.judge import Judge, judged_normal, predicted_classes
from pu_diffusion_pipeline.metrics.non_sensitive_rate import non_sensitive_rate
from pu_diffusion_pipeline.metrics.score import rate_without_labels
from pu_diffusion_pipeline.positive_unlabeled.sensitivity import Fitted, fit_sensitivity

CONF = Path(__file__).resolve().parents[1] / "conf"


def fitted(data: Path, benchmark: str) -> Fitted:
    """The classifier of U and S of the benchmark's first seed."""
    parameters = open_loader(CONF, None, {}).final_parameters()
    folder = min((data / "03_primary" / benchmark).glob("seed_*"))
    index = data / "02_intermediate" / benchmark / folder.name / "unlabeled.csv"
    unlabeled, sensitive = (
        np.asarray(ImageSet.from_pretrained(folder / name).images)
        for name in ("unlabeled", "labeled_sensitive")
    )
    positions = pd.read_csv(index)["position"].to_numpy()
    return fit_sensitivity(
        sensitive, unlabeled, positions, parameters.sensitivity, parameters.class_prior
    )


def counted(folder: Path, images: np.ndarray, judge: Judge | None, report: dict) -> dict:
    """The judge's rate with its Wilson interval, as counted and corrected."""
    if judge is None:
        return json.loads((folder / "metrics.json").read_text())["non_sensitive_rate"]
    normal = judged_normal(judge, predicted_classes(judge, images, 500))
    return non_sensitive_rate(int(normal.sum()), len(normal), report)


def print_review(data: Path, benchmark: str, found: Fitted, labels: Path) -> None:
    """How many sensitive images are at the top of the list."""
    index = pd.read_parquet(data / f"02_intermediate/{benchmark}/default/raw_index.parquet")
    paths = index.dropna(subset="position").set_index("position")["path"]
    truth = pd.read_csv(labels).set_index("path")["sensitive"]
    sensitive = truth.loc[paths.loc[found.order["position"]]].to_numpy()
    count = int(sensitive.sum())
    print(f"of the first {count} images of the review list {sensitive[:count].sum()} are sensitive")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark")
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--judge-report", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    given = parser.parse_args()
    found = fitted(given.data, given.benchmark)
    judge = None if given.judge is None else Judge.from_pretrained(given.judge)
    report = {} if given.judge is None else json.loads(given.judge_report.read_text())
    print(f"beta {found.classifier.beta:.4f}, model {found.classifier.model}")
    if given.labels is not None:
        print_review(given.data, given.benchmark, found, given.labels)
    for method in ("unsupervised", "pu"):
        output = given.data / "07_model_output" / given.benchmark / method
        for path in sorted(output.glob("*/samples/images.npy")):
            images, folder = np.load(path), path.parent.parent
            rate = rate_without_labels(images, found.classifier, found.report, 200)
            told = counted(folder, images, judge, report)
            print(
                f"{method} {folder.name}: estimated {rate['value']:.3f} "
                f"({rate['low']:.3f} - {rate['high']:.3f}), "
                f"judge {told['value']:.3f} ({told['low']:.3f} - {told['high']:.3f}), corrected "
                f"{told['corrected']:.3f} ({told['corrected_low']:.3f} - "
                f"{told['corrected_high']:.3f})"
            )


if __name__ == "__main__":
    main()
