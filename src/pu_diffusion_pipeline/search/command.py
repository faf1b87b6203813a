"""Show what a search begins with, ask, run the trials, draw what they have reached."""

from collections.abc import Sequence
from pathlib import Path

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput, ProcessFailed
from pu_diffusion_pipeline.experiment.commands import typed
from pu_diffusion_pipeline.experiment.locks import hold
from pu_diffusion_pipeline.reports.trials import trials_figure, trials_table
from pu_diffusion_pipeline.search.feed import TrialFeed
from pu_diffusion_pipeline.search.optimizer import NUM_FIRST, first_points, require_optuna
from pu_diffusion_pipeline.search.space import Search, Space
from pu_diffusion_pipeline.search.trials import (
    Trial,
    best_of,
    measure,
    open_ones,
    read_trials,
    table_of,
    write_trials,
)
from pu_diffusion_pipeline.sweeps.command import (
    LOCAL,
    How,
    Talk,
    estimate,
    opened_engine,
    policy_of,
    refuse_kedro_env,
    show_plan,
)
from pu_diffusion_pipeline.sweeps.crossing import refuse_unshared
from pu_diffusion_pipeline.sweeps.engines.interface import Engine, Setup
from pu_diffusion_pipeline.sweeps.execution import Execution
from pu_diffusion_pipeline.sweeps.plan import Plan, plan_of, refuse_made_otherwise

TABLE = "trials.csv"  # in the search's folder; from it a search goes on


def search(asked: Search, project: Path, num_trials: int, how: How, talk: Talk) -> bool:
    """Look for the point with the highest rate within the limit of the distance.

    Args:
        asked: what to look for.
        project: the project's folder.
        num_trials: how many trials there are at the end, those of earlier calls included.
        how: where, how many at once, or only to show the first ones.
        talk: with the user.

    Returns:
        Whether all trials are there now; false after a dry run.

    Raises:
        InvalidInput: it cannot be run; nothing was started.
        ProcessFailed: the reference failed, or every trial did.
        KeyboardInterrupt: the user stopped it.
    """
    require_optuna()
    refuse_kedro_env()
    if num_trials < 1:
        raise InvalidInput(f"--trials: expected at least 1, got {num_trials}")
    space = Space(asked, project)
    folder = project / "data/08_reporting/searches" / asked.name
    trials = read_trials(folder / TABLE, space)
    refuse_made_otherwise([space.reference, *(one.run for one in trials)])
    count = sum(one.state != "open" for one in trials)
    talk.say(f"search: {count} of {num_trials} trials are there.")
    if count < num_trials or not space.reference.is_finished:
        plan = _first_plan(space, trials, num_trials)
        refuse_unshared(plan.tasks)
        with opened_engine(how, project, folder, plan.runs) as (engine, setup):
            _show(plan, num_trials - count, engine, how, talk)
            if how.dry_run:
                return False
            talk.confirm("Run them now?")
            with hold(folder, policy_of(how, plan.runs), is_shared=False):
                trials = _run(space, folder, num_trials, (engine, setup), talk)
    _report(space, folder, trials, talk)
    return True


def _first_plan(space: Space, trials: Sequence[Trial], num_trials: int) -> Plan:
    """What is known before the first result: the reference, trials that wait, the first ones."""
    new = first_points(space.ranges, space.search.seed)[len(trials) : num_trials]
    waiting = [one.run for one in open_ones(trials, num_trials)]
    runs = [space.reference, *waiting, *map(space.run_at, new)]
    tasks = {task.name: task for run in runs for task in plan_of([run]).tasks}
    return Plan(runs, list(tasks.values()))


def _show(plan: Plan, num_left: int, engine: Engine, how: How, talk: Talk) -> None:
    show_plan(plan, talk.say, with_commands=how.dry_run)
    for line in engine.prepare(plan.tasks, dry_run=how.dry_run):
        talk.say(line)
    estimate(plan, engine, talk.say, is_here=how.engine == LOCAL)
    if (chosen := num_left - len(plan.runs) + 1) > 0:
        talk.say(f"Then {chosen} more trials, each chosen by what the ones before have found.")


def _run(
    space: Space, folder: Path, num_trials: int, where: tuple[Engine, Setup], talk: Talk
) -> list[Trial]:
    engine, setup = where
    with atomic_write(folder / "search.json") as temporary:
        temporary.write_text(space.search.to_json(), encoding="utf-8")
    talk.say(f"Logs: {setup.logs}")
    Execution(plan_of([space.reference]).tasks, engine, {}, setup.log_of, talk.say).run()
    limit = limit_of(space)
    talk.say(f"The Frechet distance may be at most {limit:.2f}.")
    trials = read_trials(folder / TABLE, space)  # under the lock: another may have worked meanwhile
    at_once = setup.workers or min(engine.capacity, NUM_FIRST)  # the others wait for results
    feed = TrialFeed(space, trials, num_trials, limit, folder / TABLE, at_once, talk.say)
    Execution((), engine, {}, setup.log_of, talk.say, feed).run()
    return trials


def limit_of(space: Space) -> float:
    """The largest distance that is allowed."""
    return space.search.within * measure(space.reference).distance


def _report(space: Space, folder: Path, trials: Sequence[Trial], talk: Talk) -> None:
    from pu_diffusion_pipeline.reports.figure_files import write_figure

    limit = limit_of(space)
    rows = table_of(trials, limit)
    write_trials(folder / TABLE, rows)
    best = best_of(rows)
    table = trials_table(rows, list(space.ranges), best, limit)
    with atomic_write(folder / "trials.md") as temporary:
        temporary.write_text(f"{table.to_markdown()}\n", encoding="utf-8")
    talk.say(table.rows.to_string(index=False))
    if not any(one.measured for one in trials):
        raise ProcessFailed("No trial came through; their messages are above.")
    figure = trials_figure(rows, list(space.ranges), limit, measure(space.reference))
    for kind in ("png", "svg"):
        with atomic_write(folder / f"front.{kind}") as temporary:
            write_figure(figure, temporary, kind)
    talk.say(f"Table and front: {folder}")
    if best is None:
        talk.say(f"No trial has a Frechet distance of at most {limit:.2f}: see --within.")
    else:
        talk.say(f"Best: {trials[best].spelled()}: {typed(trials[best].run.command())}")
