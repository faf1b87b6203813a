"""What a process for each run costs, and what a second worker gains.

python benchmarks/sweep_workers.py FOLDER [--runs 4] [--steps 60] [--images 256]
    [--rounds 3]

In a copy of this project below FOLDER, with one thread everywhere. Data and judge are made first.
In turns, from no run at all: the runs of `unsupervised` at several seeds in one Python process, by
a sweep with one worker, by one with two. Prints seconds for each round, and from the medians the
cost of a process (seconds a run) and how many times faster two workers are. Needs two idle cores.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
IN_ONE = """
import sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
steps, images, seeds = map(int, sys.argv[1:])
for seed in range(seeds):
    params = {"training": {"num_steps": steps}, "sampling": {"num_images": images}, "seed": seed}
    with KedroSession.create(Path.cwd(), runtime_params=params) as session:
        session.run(pipeline_names=[f"{stage}_unsupervised" for stage in STAGES])
""".replace("STAGES", "('train', 'sample', 'evaluate')")


def seconds_of(command: list[str], folder: Path) -> float:
    """Of a command in the project; its output goes to FOLDER/log."""
    env = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "log").open("a") as log:
        begun = time.perf_counter()
        subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, check=True)
    return time.perf_counter() - begun


def without_runs(folder: Path) -> None:
    """Take away everything that belongs to a run; data and judge stay."""
    for name in ("06_models", "07_model_output", "08_reporting"):
        for kind in (folder / "data" / name).glob("*/*"):
            if kind.name == "unsupervised":
                shutil.rmtree(kind)


def main() -> None:
    """Run in turns, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    for name in ("conf", "src"):
        shutil.copytree(PROJECT / name, folder / name)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    sweep = [
        *(sys.executable, "-m", "kedro", "sweep", "--methods=unsupervised", "--yes"),
        *(f"--seeds=0-{asked.runs - 1}", "--params"),
        f"training.num_steps:{asked.steps},sampling.num_images:{asked.images}",
    ]
    lengths = (asked.steps, asked.images, asked.runs)
    commands = {
        "one process": [sys.executable, "-c", IN_ONE, *map(str, lengths)],
        "one worker": [*sweep, "--workers=1"],
        "two workers": [*sweep, "--workers=2"],
    }
    seconds_of(commands["two workers"], folder)
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(asked.rounds):
        for name, command in commands.items():
            without_runs(folder)
            found[name].append(seconds_of(command, folder))
            print(f"{name}: {found[name][-1]:.1f} s", flush=True)
    medians = {name: statistics.median(times) for name, times in found.items()}
    each = (medians["one worker"] - medians["one process"]) / asked.runs
    print(f"a process for each run costs {each:.1f} s a run")
    print(f"two workers: {medians['one worker'] / medians['two workers']:.2f} times faster")


if __name__ == "__main__":
    main()
