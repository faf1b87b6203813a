"""What cleaning U leaves out, by threshold, with the truth: the table of docs/frontier.md.

python benchmarks/cleaning.py [--env ENV] [--seed 0]

Needs the classifier of sensitivity (`kedro run --pipeline=review`, or `frontier`).
"""

import argparse
from pathlib import Path

import numpy as np
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from pu_diffusion_pipeline.positive_unlabeled.cleaning import clean

PROJECT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print a row per threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bootstrap_project(PROJECT)
    parameters = {"seed": given.seed}
    with KedroSession.create(PROJECT, env=given.env, runtime_params=parameters) as session:
        catalog = session.load_context().catalog
        classifier = catalog.load("sensitivity")
        positions = catalog.load("unlabeled_index")["position"].to_numpy()
        truth = catalog.load("oracle_unlabeled").set_index("position")["is_sensitive"]
    is_sensitive = truth.loc[positions].to_numpy(dtype=bool)
    for probability in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7):
        cleaned = clean(classifier, positions, probability)
        dropped = np.ones(len(positions), dtype=bool)
        dropped[cleaned.rows] = False
        print(
            f"| {probability} | {(dropped & is_sensitive).sum()} | "
            f"{(dropped & ~is_sensitive).sum()} | {cleaned.beta:.3f} | "
            f"{is_sensitive[~dropped].mean():.3f} |"
        )


if __name__ == "__main__":
    main()
