"""The paper's table of tests for saved rows: each method against the best one, paired by seed.

python benchmarks/table_of_tests.py docs/results/frontier/mnist_even_small.csv

The rows are those of `kedro results --to=FILE.csv`, or `runs.csv` of the pipeline `frontier`.
Prints means and standard deviations over the seeds, and p of a two-sided paired t-test against the
method with the best mean, for the non-sensitive rate and the Frechet distance. A share of samples
that is filtered makes a method of its own. Methods that know the truth are shown, not compared.
"""

import argparse
from pathlib import Path

import pandas as pd

from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.metrics.registry import METRICS
from pu_diffusion_pipeline.metrics.significance import against_best

COLUMNS = {"nsr": "NSR", "distance": "FD"}
DIGITS = {"nsr": 3, "distance": 1}
SHARE = "filtering.share"


def cells_of(runs: pd.DataFrame, column: str) -> dict[str, tuple[str, str]]:
    """For each method mean and deviation, and p."""
    by_seed = {
        name: dict(zip(part["seed"], part[column], strict=True))
        for name, part in runs.groupby("name", sort=False)
    }
    compared = {name: values for name, values in by_seed.items() if not is_reference(name)}
    best, tests = against_best(compared, higher_is_better=METRICS[column].higher_is_better)
    spread = runs.groupby("name")[column].agg(["mean", "std"])
    digits = DIGITS[column]
    cells = {}
    for name in by_seed:
        p_value = tests[name].p_value if name in tests else None
        deviation = spread["std"][name]
        mean = f"{spread['mean'][name]:.{digits}f}"
        cells[name] = (
            mean if pd.isna(deviation) else f"{mean} ± {deviation:.{digits}f}",
            "best" if name == best else spelled(p_value),
        )
    return cells


def spelled(p_value: float | None) -> str:
    """With three digits."""
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def is_reference(name: str) -> bool:
    """Whether the method knows what is sensitive in U."""
    return METHODS[name.split(",", maxsplit=1)[0]].is_reference


def main() -> None:
    """Read the rows, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    runs = pd.read_csv(parser.parse_args().rows)
    runs["name"] = runs["method"]
    if SHARE in runs:
        shares = runs[SHARE].map("{:g}".format)
        runs["name"] = runs["name"].where(runs[SHARE].isna(), runs["method"] + ", " + shares)
    found = [cells_of(runs, column) for column in COLUMNS]
    seeds = runs.groupby("name")["seed"].nunique()
    print(f"| method | seeds | {' | '.join(f'{name} | p' for name in COLUMNS.values())} |")
    print(f"|{'---|' * (2 + 2 * len(COLUMNS))}")
    for name in found[0]:
        cells = [cell for of_column in found for cell in of_column[name]]
        print(f"| {name} | {seeds[name]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
