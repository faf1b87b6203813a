"""Plan a sweep, show the plan, ask, run it."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.commands import typed
from pu_diffusion_pipeline.experiment.locks import Policy, hold
from pu_diffusion_pipeline.options import require_one_of
from pu_diffusion_pipeline.progress import spell_time
from pu_diffusion_pipeline.sweeps.arguments import Request
from pu_diffusion_pipeline.sweeps.crossing import refuse_unshared
from pu_diffusion_pipeline.sweeps.engines.interface import Engine, Setup
from pu_diffusion_pipeline.sweeps.engines.registry import ENGINES
from pu_diffusion_pipeline.sweeps.execution import Execution
from pu_diffusion_pipeline.sweeps.live_table import above_table, live_table
from pu_diffusion_pipeline.sweeps.plan import Plan, make_plan
from pu_diffusion_pipeline.sweeps.runs import Run
from pu_diffusion_pipeline.sweeps.timing import estimate_seconds

FILE = "sweep.yml"
LOCAL = "local"  # the engine of this machine


class How(NamedTuple):
    """How a sweep is run.

    Attributes:
        engine: a name in ENGINES.
        workers: tasks at once; None: the engine chooses.
        gpus_per_run, cpus_per_run, memory_per_run, engine_option: as in `Setup`.
        policy: what to do when the same sweep works already: wait or leave.
        dry_run: show the plan with its commands, run nothing.
    """

    engine: str = LOCAL
    workers: int | None = None
    gpus_per_run: float | None = None
    cpus_per_run: int | None = None
    memory_per_run: float | None = None
    engine_option: Mapping[str, str] = {}
    policy: Policy = "wait"
    dry_run: bool = False


class Talk(NamedTuple):
    """How to speak with the user.

    Attributes:
        say: prints a line.
        confirm: asks whether to go on; raises to stop.
    """

    say: Callable[[str], object]
    confirm: Callable[[str], object]


def sweep(request: Request, project: Path, how: How, talk: Talk, title: str = "sweep") -> bool:
    """Make the runs that are missing.

    Args:
        request: what to run.
        project: the project's folder.
        how: where, how many at once, or only to show the plan.
        talk: with the user.
        title: what the first line calls it.

    Returns:
        Whether all runs are there now; false after a dry run.

    Raises:
        InvalidInput: something cannot be run; nothing was started.
        ProcessFailed: some tasks failed.
        KeyboardInterrupt: the user stopped it.
    """
    refuse_kedro_env()
    plan = make_plan(request, project)
    refuse_unshared(plan.tasks)
    folder = project / "data/08_reporting/sweeps" / request.name
    num_finished = len(plan.runs) - len(plan.missing)
    talk.say(f"{title}: {num_finished} of {len(plan.runs)} runs are finished.")
    if not plan.tasks:
        return True
    with opened_engine(how, project, folder, plan.missing) as (engine, setup):
        show_plan(plan, talk.say, with_commands=how.dry_run)
        for line in engine.prepare(plan.tasks, dry_run=how.dry_run):
            talk.say(line)
        seconds = estimate(plan, engine, talk.say, is_here=how.engine == LOCAL)
        if how.dry_run:
            return False
        talk.confirm("Run them now?")
        with hold(folder, policy_of(how, plan.runs), is_shared=False):
            with atomic_write(folder / FILE) as temporary:
                temporary.write_text(request.to_yaml(), encoding="utf-8")
            talk.say(f"Logs: {setup.logs}")
            say = above_table(talk.say)
            execution = Execution(plan.tasks, engine, seconds, setup.log_of, say)
            with live_table(execution.rows):
                execution.run()
    return True


def refuse_kedro_env() -> None:
    """Each run names its benchmark, but the default one has no name that Kedro would take.

    Raises:
        InvalidInput: KEDRO_ENV is set, and would be the benchmark of those runs.
    """
    if env := os.environ.get("KEDRO_ENV"):
        raise InvalidInput(
            f"KEDRO_ENV is {env}, but this command takes its benchmark from its own options. "
            "Unset it: unset KEDRO_ENV"
        )


@contextmanager
def opened_engine(
    how: How, project: Path, folder: Path, runs: Sequence[Run]
) -> Iterator[tuple[Engine, Setup]]:
    """The engine that was asked for, with what it was told.

    Args:
        how: which one.
        project: the project's folder.
        folder: the folder of the sweep, for the logs.
        runs: that it will work for.
    """
    uses_gpu = any(run.configured.parameters.compute.device != "cpu" for run in runs)
    own = {name: getattr(how, name) for name in Setup._fields if name in How._fields}
    setup = Setup(project, folder / "logs", uses_gpu, **own)
    with closing(_engine(how.engine)(setup)) as engine:
        yield engine, setup


def policy_of(how: How, runs: Sequence[Run]) -> Policy:
    """What to do when the same command works already; off where the runs take no locks either."""
    off = any(run.configured.parameters.folder_locks == "off" for run in runs)
    return "off" if off else how.policy


def estimate(
    plan: Plan, engine: Engine, say: Callable[[str], object], *, is_here: bool = True
) -> dict[str, float]:
    """Seconds of each task; nothing where they run elsewhere and this machine cannot time them."""
    say("Timing a few steps on this machine ...")
    try:
        seconds = estimate_seconds(plan.tasks)
    except InvalidInput as error:
        if is_here:
            raise
        say(f"Not estimated: {error}")
        return {}
    num_at_once = max(min(engine.capacity, len(seconds)), 1)
    longest = max(seconds.values(), default=0.0)
    duration = spell_time(max(longest, sum(seconds.values()) / num_at_once))
    at_once = f" with {num_at_once} at once" if num_at_once > 1 else ""
    say(f"They take {duration}{at_once}, data and judge not counted.")
    return seconds


def _engine(name: str) -> Callable[[Setup], Engine]:
    try:
        return ENGINES[require_one_of(name, ENGINES)]
    except ValueError as error:
        raise InvalidInput(f"--engine: {error}") from error


def show_plan(plan: Plan, say: Callable[[str], object], *, with_commands: bool) -> None:
    """A table of the runs; what they share; the commands."""
    from rich.table import Table

    total = Counter((run.benchmark, run.method) for run in plan.runs)
    missing = Counter((run.benchmark, run.method) for run in plan.missing)
    table = Table("benchmark", "method", "runs", "finished", "to do", box=None)
    for (benchmark, method), count in total.items():
        left = missing[benchmark, method]
        table.add_row(benchmark, method, str(count), str(count - left), str(left))
    say(_as_text(table))
    shared = [task for task in plan.tasks if task.run is None]
    if shared:
        say(f"Tasks that are made once, before the runs that need them: {len(shared)}")
    for task in plan.tasks:
        what = typed(task.arguments) if with_commands else task.name
        say(f"  {'missing' if task.run else 'shared'}: {what}")


def _as_text(table: object) -> str:
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()
