"""How fast the engine `ray` gets tasks through Ray: short sleeps, some of whose workers are killed.

    python benchmarks/ray_thousand.py --tasks 1000 --killed 10

Each task is one process (`sleep`), as it is one `kedro run` in a sweep. RAY_ADDRESS chooses the
cluster; without it one is started here.
"""

import argparse
import tempfile
import time
from pathlib import Path

from pu_diffusion_pipeline.sweeps.engines.interface import Setup
from pu_diffusion_pipeline.sweeps.engines.ray_cluster import RayEngine
from pu_diffusion_pipeline.sweeps.execution import Execution
from pu_diffusion_pipeline.sweeps.plan import Task
from pu_diffusion_pipeline.sweeps.runs import Saved

# Kills the worker of Ray that started it, the first time.
KILL = 'test -e "$0" || { touch "$0"; kill -9 $PPID; sleep 5; }'


def tasks_of(folder: Path, count: int) -> list[Task]:
    """Tasks that are never finished before they ran."""
    nothing = Saved(folder / "nothing", folder / "no.claim")
    return [
        Task(f"sleep/{number}", (str(number),), frozenset(), (nothing,), ())
        for number in range(count)
    ]


def run(folder: Path, count: int, killed: int, seconds: float, workers: int | None) -> list[str]:
    """Run the tasks; what the execution said."""
    every = count // killed if killed else count + 1

    def command(task: Task) -> list[str]:
        number = int(task.arguments[0])
        if killed and number % every == every // 2:
            return ["sh", "-c", KILL, str(folder / f"killed-{number}")]
        return ["sleep", str(seconds)]

    said: list[str] = []
    setup = Setup(folder, folder / "logs", workers=workers)
    engine = RayEngine(setup, command)
    try:
        begun = time.perf_counter()
        tasks = tasks_of(folder, count)
        Execution(tasks, engine, {}, setup.log_of, lambda line: said.append(line)).run()
        passed = time.perf_counter() - begun
    finally:
        engine.close()
    said.append(f"{count} tasks in {passed:.1f} s: {count / passed:.0f} tasks/s")
    return said


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--killed", type=int, default=10, help="tasks whose worker is killed")
    parser.add_argument("--seconds", type=float, default=0.02, help="of each task")
    parser.add_argument("--workers", type=int, help="tasks that Ray has at once")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = run(Path(folder), given.tasks, given.killed, given.seconds, given.workers)
    print(sum("once more" in line for line in said), "workers were killed")
    print(said[-1])


if __name__ == "__main__":
    main()
