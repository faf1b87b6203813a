"""A second judge, of another kind, on saved samples; their balance of classes; whether they copy S.

python benchmarks/second_judge.py [--env ENV] [--seeds 0,1,2] [--params NAME:VALUE] [--to FILE.csv]

Needs finished runs (`kedro run --pipeline=frontier`). The judge is a support vector machine on
pixels, trained on the judge's images with true labels; no method uses it. `copies`: of the samples'
nearest neighbours among S and as many held-out sensitive images, the share that is in S. Half of
them are where nothing is copied.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from sklearn.svm import SVC

from pu_diffusion_pipeline.command_line import parse_params
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.metrics.second_judge import share_near

PROJECT = Path(__file__).resolve().parents[1]


def rows_of(images: np.ndarray) -> np.ndarray:
    """(N, pixels) in [0, 1]."""
    return np.asarray(images).reshape(len(images), -1) / 255.0


class SecondJudge:
    """Says which classes images show."""

    def __init__(self, catalog: DataCatalog, normal_classes: tuple[int, ...]) -> None:
        self.normal = normal_classes
        self.machine = SVC(C=5.0, gamma="scale")
        self.machine.fit(rows_of(catalog.load("judge_images").images), classes(catalog, "judge"))
        groups = ("test", "heldout")
        right = [
            self.machine.predict(rows_of(catalog.load(f"{name}_images").images))
            == classes(catalog, name)
            for name in groups
        ]
        self.accuracy = float(np.concatenate(right).mean())

    def shows(self, images: np.ndarray) -> np.ndarray:
        """(N,) classes."""
        return self.machine.predict(rows_of(images))


def classes(catalog: DataCatalog, group: str) -> np.ndarray:
    """(N,) true classes of a group of images."""
    return catalog.load(f"{group}_index")["class"].to_numpy()


def measured(env: str | None, changes: dict[str, object]) -> Iterator[dict[str, object]]:
    """A row per method that has samples of a run with these parameters."""
    given = {"env": env, "runtime_params": changes}
    with KedroSession.create(PROJECT, **given) as session:
        catalog = session.load_context().catalog
        parameters = open_loader(PROJECT / "conf", env, changes).final_parameters()
        judge = SecondJudge(catalog, parameters.data.normal_classes)
        sensitive = catalog.load("labeled_sensitive_images").images
        heldout = catalog.load("heldout_images").images
        for method in METHODS:
            if f"{method}.samples" not in catalog or not catalog.exists(f"{method}.samples"):
                continue
            images = catalog.load(f"{method}.samples").images
            first = ~catalog.load(f"{method}.judgements")["judged_sensitive"].to_numpy()
            shown = judge.shows(images)
            second = np.isin(shown, judge.normal)
            balance = {f"class_{one}": int((shown == one).sum()) for one in judge.normal}
            yield {
                "method": method,
                "seed": parameters.seed,
                "first_judge": float(first.mean()),
                "second_judge": float(second.mean()),
                "both_normal": float((first & second).mean()),
                "copies": share_near(images, sensitive, heldout),
                **balance,
                "second_accuracy": judge.accuracy,
            }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--params", default="", help="as for kedro run")
    parser.add_argument("--to", type=Path)
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    changes = [{**parse_params(given.params), "seed": int(one)} for one in given.seeds.split(",")]
    table = pd.DataFrame(row for one in changes for row in measured(given.env, one))
    if given.to is not None:
        table.to_csv(given.to, index=False)
    print(table.drop(columns="seed").groupby("method", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
