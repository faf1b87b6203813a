"""The tasks of a sweep: which processes make what, and which of them wait for which.

The runs of a sweep share nodes: two methods of one seed the split, two seeds the judge, two ways to
sample one training. A node that one run alone needs, and that alone writes its files, works in that
run's own process. All others work once, in tasks of their own, before the runs that need them
(docs/decisions/0011).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pu_diffusion_pipeline.experiment.claims import refuse_others
from pu_diffusion_pipeline.experiment.commands import kedro_run
from pu_diffusion_pipeline.experiment.identity import NOTHING_GIVEN
from pu_diffusion_pipeline.sweeps.arguments import Request
from pu_diffusion_pipeline.sweeps.runs import METHODS_PIPELINE, Run, Saved, runs_of

TRAINING = ".training."  # in the name of a node
Goals = frozenset[tuple[Run, str]]  # pipelines of runs
# Of a task: the first run that needs it; what it is made for, None: for this run alone; after how
# many trainings, one behind the other, it comes; the node, where it is a training, which has a task
# of its own.
Key = tuple[Run, Goals | None, int, str]


class Step(NamedTuple):
    """A node of a pipeline with the files of one run.

    Attributes:
        node: its name.
        run: the first run that needs it.
        reads: the files that other nodes make for it.
        makes: its files.
    """

    node: str
    run: Run
    reads: frozenset[Path]
    makes: tuple[Saved, ...]


@dataclass(frozen=True)
class Task:
    """One process.

    Attributes:
        name: of its log: `<benchmark>/<what>-<folder of the run>`.
        arguments: of `kedro`.
        needs: names of the tasks that it waits for.
        makes: what is there when it is finished.
        steps: its nodes, in their order.
        run: the run that it finishes; None for what several runs share.
    """

    name: str
    arguments: tuple[str, ...]
    needs: frozenset[str]
    makes: tuple[Saved, ...]
    steps: tuple[Step, ...] = field(repr=False)
    run: Run | None = field(repr=False, default=None)

    @property
    def is_finished(self) -> bool:
        """Whether all that it makes is there."""
        return all(one.is_finished for one in self.makes)


class Plan(NamedTuple):
    """All runs that were asked for, and the tasks that make those that are not finished."""

    runs: Sequence[Run]
    tasks: Sequence[Task]

    @property
    def missing(self) -> list[Run]:
        """The runs that the tasks make."""
        return [task.run for task in self.tasks if task.run is not None]


def make_plan(request: Request, project: Path) -> Plan:
    """Every run of a request, and what is left to do.

    Args:
        request: what to run.
        project: the project's folder.

    Raises:
        InvalidInput: as `runs_of`.
    """
    return plan_of(runs_of(request, project))


def plan_of(runs: Sequence[Run]) -> Plan:
    """What is left to do for these runs, none of which is there twice.

    Raises:
        InvalidInput: a finished one was made with other parameters, which were edited since.
    """
    refuse_made_otherwise(runs)
    return Plan(runs, _tasks([run for run in runs if not run.is_finished]))


def refuse_made_otherwise(runs: Iterable[Run]) -> None:
    """Refuse finished runs whose folders say other parameters than the files of today.

    Raises:
        InvalidInput: naming the folders and the parameters.
    """
    refuse_others(run.claim for run in runs if run.is_finished)


def missing_steps(run: Run) -> list[Step]:
    """The nodes that have to work for a run's metrics, in their order."""
    makers = {name: node for node in run.pipeline.nodes for name in node.outputs}
    found = {}
    waiting = [f"{run.method}.metrics"]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        makes = _saved(run, node.outputs)
        if all(one.is_finished for one in makes):
            continue
        made_by_others = [name for name in node.inputs if name in makers]
        reads = frozenset(one.path for one in _saved(run, made_by_others))
        found[node.name] = Step(node.name, run, reads, makes)
        waiting += node.inputs
    return [found[node.name] for node in run.pipeline.nodes if node.name in found]


def _saved(run: Run, names: Iterable[str]) -> tuple[Saved, ...]:
    found = (run.configured.saved(name) for name in names)
    return tuple(one for one in found if one is not None)


def _tasks(runs: Sequence[Run]) -> list[Task]:
    """The steps of the runs, each once, gathered into tasks.

    They come in an order in which they can work: a step reads what earlier ones make.
    """
    steps: dict[frozenset[Saved], Step] = {}
    users: dict[frozenset[Saved], list[Run]] = {}
    for run in runs:
        for step in missing_steps(run):
            key = frozenset(step.makes)
            steps.setdefault(key, step)
            users.setdefault(key, []).append(run)
    order = list(steps.values())
    writers = Counter(saved.path for step in order for saved in step.makes)
    is_single = {
        step: len(users[key]) == 1 and all(writers[saved.path] == 1 for saved in key)
        for key, step in steps.items()
    }
    gathered: dict[Key, list[Step]] = {}
    for step, task in _keys(order, is_single).items():
        gathered.setdefault(task, []).append(step)
    return _connected(gathered)


def _keys(order: Sequence[Step], is_single: Mapping[Step, bool]) -> dict[Step, Key]:
    """Each step's task: its run's own if nobody else needs it, else by what it is made for.

    `is_single`: whether a step is of one run and alone writes its files. Otherwise two tasks write
    one file, and the second waits for the first; a run must not wait so for another run.

    What it is made for are the pipelines of runs that read it, through other shared steps or
    directly. So the judge waits for no training, and no training for the judge.
    """
    readers = _readers(order)
    depths = _depths(order)
    own: dict[Step, str | None] = {}
    made_for: dict[Step, Goals] = {}
    for step in reversed(order):
        goals = [
            frozenset([(one.run, own[one] or "")]) if own[one] else made_for[one]
            for one in readers[step]
        ]
        made_for[step] = frozenset().union(*goals)
        is_own = is_single[step] and all(own[one] and one.run is step.run for one in readers[step])
        own[step] = _pipeline_of(step) if is_own else None
    return {
        step: (step.run, None, 0, "")
        if own[step]
        else (step.run, made_for[step], depths[step], step.node if TRAINING in step.node else "")
        for step in order
        if own[step] or made_for[step]
    }


def _pipeline_of(step: Step) -> str | None:
    """Which pipeline of the run's command has the node."""
    for name, pipeline in step.run.own.items():
        if any(node.name == step.node for node in pipeline.nodes):
            return name
    return None


def _readers(order: Sequence[Step]) -> dict[Step, list[Step]]:
    makers = _first_makers(order)
    readers: dict[Step, list[Step]] = {step: [] for step in order}
    for step in order:
        for maker in {makers[path] for path in step.reads if path in makers}:
            readers[maker].append(step)
    return readers


def _depths(order: Sequence[Step]) -> dict[Step, int]:
    """How many trainings each step comes after, where one reads what the other has made."""
    makers = _first_makers(order)
    depths: dict[Step, int] = {}
    for step in order:
        read = {makers[path] for path in step.reads if path in makers}
        depths[step] = max((depths[one] + (TRAINING in one.node) for one in read), default=0)
    return depths


def _first_makers(order: Iterable[Step]) -> dict[Path, Step]:
    """Every seed's split writes the table of test images, always the same: the first counts."""
    makers: dict[Path, Step] = {}
    for step in order:
        for saved in step.makes:
            makers.setdefault(saved.path, step)
    return makers


def _connected(gathered: Mapping[Key, Sequence[Step]]) -> list[Task]:
    """Tasks that wait for those that make what they read, and for earlier ones that write it."""
    made_by: dict[Path, str] = {}
    tasks = []
    for (run, made_for, *_), steps in _in_order(gathered):
        name = _name(run, steps, is_shared=made_for is not None)
        made = {saved.path for step in steps for saved in step.makes}
        read = {path for step in steps for path in step.reads}
        needs = frozenset(made_by[path] for path in made | read if path in made_by)
        made_by |= dict.fromkeys(made, name)
        tasks.append(_task(name, run, tuple(steps), needs, is_shared=made_for is not None))
    return tasks


def _in_order(gathered: Mapping[Key, Sequence[Step]]) -> list[tuple[Key, Sequence[Step]]]:
    """Run by run; what is made for more comes before what is made for a part of that.

    Of what is made for the same, the trainings come between what they need and what needs them.
    """
    runs = list(dict.fromkeys(run for run, *_ in gathered))

    def place(item: tuple[Key, Sequence[Step]]) -> tuple[int, bool, int, int, bool]:
        run, made_for, depth, training = item[0]
        return runs.index(run), made_for is None, -len(made_for or ()), depth, bool(training)

    return sorted(gathered.items(), key=place)


def _name(run: Run, steps: Sequence[Step], *, is_shared: bool) -> str:
    what = steps[-1].node if is_shared else run.method
    made = steps[-1].makes if is_shared else (run.metrics,)
    folders = (saved.claim.parent.name for saved in made)
    most_said = max(folders, key=lambda name: (name != NOTHING_GIVEN, len(name)))
    return f"{run.benchmark}/{what}-{most_said}"


def _task(
    name: str, run: Run, steps: tuple[Step, ...], needs: frozenset[str], *, is_shared: bool
) -> Task:
    nodes = [step.node for step in steps]
    if is_shared:
        arguments = kedro_run(run.benchmark, [METHODS_PIPELINE], run.given)
        arguments.insert(-1, f"--nodes={','.join(nodes)}")
        makes = tuple(saved for step in steps for saved in step.makes)
        return Task(name, tuple(arguments), needs, makes, steps)
    pipelines = list(dict.fromkeys(_pipeline_of(step) or "" for step in steps))
    arguments = kedro_run(run.benchmark, pipelines, run.given)
    if {node.name for one in pipelines for node in run.own[one].nodes} != set(nodes):
        arguments.insert(-1, f"--from-nodes={','.join(_first_nodes(steps))}")
    return Task(name, tuple(arguments), needs, (run.metrics,), steps, run)


def _first_nodes(steps: Sequence[Step]) -> list[str]:
    """Those that read nothing of the others."""
    made = {saved.path for step in steps for saved in step.makes}
    return [step.node for step in steps if not step.reads & made]
