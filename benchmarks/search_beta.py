"""Whether `kedro search` finds the best beta of a grid in fewer runs.

    python benchmarks/search_beta.py --trials 6

On the embedded digits it runs, in a copy of the project's configuration (or in `--folder`, where it
goes on after a stop):

1. a grid of the betas `--grid` and unsupervised training (`kedro sweep`),
2. a search with `--trials` trials between the ends of the grid, which starts without the runs of
   the grid (`kedro search`).

It prints each table, then four lines: the limit of the Frechet distance; the best beta of the grid
and its number of runs; the best beta of the search and its number of runs; how far the two betas
are apart. Unsupervised training, which both need for the limit, counts for neither.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from project_copy import copy_project, environment_of

SHORT = (  # about 0.4 times the training and a quarter of the sampling of the default
    "training.num_steps:100,training.warmup_steps:10,sampling.num_images:1000,"
    "sampling.num_steps:15,sampling.karras_sigmas:false,sampling.exponential_sigmas:true"
)


def kedro(folder: Path, *arguments: str) -> None:
    """Run a command in the project."""
    command = [sys.executable, "-m", "kedro", *arguments]
    subprocess.run(command, cwd=folder, env=environment_of(folder), check=True)


def runs_of(folder: Path, shared: list[str]) -> pd.DataFrame:
    """The runs of the grid."""
    kedro(folder, "sweep", "--methods=unsupervised,pu", "--seeds=0", "--yes", *shared)
    kedro(folder, "results", "--to=grid.csv")
    return pd.read_csv(folder / "grid.csv")


def main() -> None:
    """Read the arguments, run both, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--grid", default="0.02,0.06,0.1,0.14,0.18,0.22,0.26,0.3")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--within", type=float, default=1.1)
    parser.add_argument("--params", default=SHORT)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="default: a new one, deleted at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        compare(given, given.folder or Path(temporary) / "benchmark")


def compare(given: argparse.Namespace, folder: Path) -> None:
    """Run the grid and the search in two projects."""
    shared = [f"--params={given.params}", f"--workers={given.workers}"]
    begun = time.perf_counter()
    grid = runs_of(copy_project(folder / "grid"), [*shared, f"--betas={given.grid}"])
    of_grid = time.perf_counter() - begun
    betas = [float(one) for one in given.grid.split(",")]
    span = f"--beta={min(betas)}:{max(betas)}"
    wanted = [span, f"--trials={given.trials}", f"--within={given.within}", "--yes"]
    kedro(copy_project(folder / "search"), "search", *wanted, *shared)
    of_search = time.perf_counter() - begun - of_grid
    (table,) = (folder / "search/data/08_reporting/searches").glob("*/trials.csv")
    trials = pd.read_csv(table)
    limit = given.within * grid[grid["method"] == "unsupervised"]["distance"].iloc[0]
    pu = grid[grid["method"] == "pu"].astype({"beta": float})
    print(pu[["beta", "nsr", "distance"]].sort_values("beta").to_string(index=False))
    print(trials[["beta", "state", "nsr", "distance"]].to_string(index=False))
    print(f"limit of the Frechet distance: {limit:.2f} ({given.within:g} x unsupervised)")
    best = {}
    for name, rows, seconds in (("grid", pu, of_grid), ("search", trials, of_search)):
        within = rows[rows["distance"] <= limit]
        best[name] = within.loc[within["nsr"].idxmax()]
        print(f"{name}: best beta {best[name]['beta']:g} with NSR {best[name]['nsr']:.3f}, "
              f"{len(rows)} runs, {seconds:.0f} s")  # fmt: skip
    apart = abs(best["grid"]["beta"] - best["search"]["beta"])
    print(f"apart: {apart:.3f} (within 0.03: {'yes' if apart <= 0.03 else 'no'})")


if __name__ == "__main__":
    main()
