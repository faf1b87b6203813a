"""What a process for each run costs, and what a second worker gains.

python benchmarks/sweep_workers.py FOLDER [--runs 4] [--steps 60] [--images 256]
    [--sampling-steps 30] [--rounds 3]

In a copy of this project below FOLDER, with one thread everywhere. Data and judge are made first.
In turns, from no run at all: the runs of `unsupervised` at several seeds in one Python process; a
sweep that only plans (`--dry-run`); one with one worker; one with two. Prints seconds for each
round, and from the medians the cost of each further process and how many times faster two workers
are, the plan apart. With `--steps 1 --sampling-steps 1` the cost stands out; for the speed a
training has to be longer than a start. Needs two idle cores.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from project_copy import copy_project, environment_of

IN_ONE = """
import sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
steps, images, sampling_steps, seeds = map(int, sys.argv[1:])
for seed in range(seeds):
    sampling = {"num_images": images, "num_steps": sampling_steps}
    params = {"training": {"num_steps": steps}, "sampling": sampling, "seed": seed}
    with KedroSession.create(Path.cwd(), runtime_params=params) as session:
        session.run(pipeline_names=[f"{stage}_unsupervised" for stage in STAGES])
""".replace("STAGES", "('train', 'sample', 'evaluate')")


def seconds_of(command: list[str], folder: Path) -> float:
    """Of a command in the project; its output goes to FOLDER/log."""
    env = environment_of(folder, OMP_NUM_THREADS="1")
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
    parser.add_argument("--sampling-steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = copy_project(asked.folder.resolve())
    lengths = (asked.steps, asked.images, asked.sampling_steps)
    names = ("training.num_steps", "sampling.num_images", "sampling.num_steps")
    sweep = [
        *(sys.executable, "-m", "kedro", "sweep", "--methods=unsupervised", "--yes"),
        *(f"--seeds=0-{asked.runs - 1}", "--params"),
        ",".join(f"{name}:{value}" for name, value in zip(names, lengths, strict=True)),
    ]
    commands = {
        "one process": [sys.executable, "-c", IN_ONE, *map(str, (*lengths, asked.runs))],
        "plan": [*sweep, "--dry-run"],
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
    alone, plan, one, two = (statistics.median(times) for times in found.values())
    print(f"each further process costs {(one - plan - alone) / (asked.runs - 1):.1f} s")
    print(f"two workers: {(one - plan) / (two - plan):.2f} times as fast as one")


if __name__ == "__main__":
    main()
