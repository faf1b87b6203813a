"""Tasks on a Ray cluster: the one of RAY_ADDRESS, or one of this machine alone.

Ray repeats no task here (`max_retries=0`): `execution.py` does, once, as for every engine.
"""

import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pu_diffusion_pipeline import __version__
from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.ray_connection import Needs, connect
from pu_diffusion_pipeline.sweeps.engines import child, on_node
from pu_diffusion_pipeline.sweeps.engines.interface import THREADS, Ended, Setup
from pu_diffusion_pipeline.sweeps.plan import Task

if TYPE_CHECKING:
    from ray import ObjectRef

OPTION = "--engine ray"
SECONDS_TO_CHECK = 120  # for all nodes: an import from a slow shared folder takes its time
GIGABYTE = 1024**3


def kedro_command(task: Task) -> list[str]:
    """What runs on the node."""
    return ["python", *child.COMMAND, *task.arguments]


class RayEngine:
    """An `Engine` of Ray tasks, each of which waits for a process of its node."""

    def __init__(self, setup: Setup, command: Callable[[Task], list[str]] = kedro_command) -> None:
        setup.refuse("engine_option")
        self._setup = setup
        self._command = command
        self._running: dict[ObjectRef, str] = {}
        self._stops = setup.logs.resolve() / f".stop-{uuid.uuid4().hex[:8]}"
        setup.refuse_impossible()
        connect(OPTION)
        import ray

        ray.cloudpickle.register_pickle_by_value(on_node)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._needs = _needs_of(setup, has_gpu=any("GPU" in one["Resources"] for one in nodes))
        room = self._needs.fit_in_cluster()
        if room == 0 and setup.workers is None:
            raise InvalidInput(f"No node of the Ray cluster has room for a task: {self._needs}")
        self.capacity = setup.workers or room
        self._run = ray.remote(max_retries=0, **self._needs._asdict())(on_node.run_process)

    def prepare(self, tasks: Sequence[Task], *, dry_run: bool) -> list[str]:
        """See `Engine`. Every node has to share `data/` and to have this version of the package."""
        _refuse_nested(tasks)
        return check_nodes(self._setup.project)

    def start(self, task: Task) -> None:
        """See `Engine`."""
        log = self._setup.log_of(task.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = dict.fromkeys(THREADS, str(self._needs.num_cpus))
        project = str(self._setup.project.resolve())
        stop = str(self._stop_of(task.name))
        ref = self._run.remote(self._command(task), project, str(log.resolve()), threads, stop)
        self._running[ref] = task.name

    def _stop_of(self, name: str) -> Path:
        """The file that tells a task to end."""
        return self._stops / name

    def wait(self, seconds: float) -> list[Ended]:
        """See `Engine`."""
        import ray

        refs = list(self._running)
        ray.wait(refs, timeout=seconds, fetch_local=False)
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
        return [self._end(ref) for ref in ready]

    def _end(self, ref: "ObjectRef") -> Ended:
        import ray

        name = self._running.pop(ref)
        try:
            return Ended(name, ray.get(ref))
        except ray.exceptions.RayTaskError as error:  # the node cannot reach the folder or the log
            with self._setup.log_of(name).open("a") as log:
                log.write(f"Error: {error.cause}\n")
            return Ended(name, 1)
        except ray.exceptions.RayError:  # the worker or its node is gone, or it was cancelled
            return Ended(name, 1, "its worker or its node is gone", is_lost=True)

    def stop(self, tasks: Collection[str] | None = None, *, kill: bool) -> None:
        """See `Engine`. Tasks that wait for room are told when they get it, or by `kill`."""
        import ray

        told = [one for one in self._running.items() if tasks is None or one[1] in tasks]
        for _, name in told:
            with atomic_write(self._stop_of(name)) as temporary:
                temporary.write_text("SIGKILL" if kill else "SIGTERM", encoding="utf-8")
        for ref, _ in told if kill else ():
            ray.cancel(ref)

    def close(self) -> None:
        """See `Engine`. A cluster of this machine alone ends; another one goes on."""
        import ray

        ray.shutdown()
        shutil.rmtree(self._stops, ignore_errors=True)


def _needs_of(setup: Setup, *, has_gpu: bool) -> Needs:
    gpus = setup.gpus_per_run
    if gpus is None:
        gpus = 1.0 if has_gpu and setup.uses_gpu else 0.0
    return Needs(setup.cpus_per_run or 1, gpus, int((setup.memory_per_run or 0) * GIGABYTE))


def _refuse_nested(tasks: Sequence[Task]) -> None:
    """A training on the cluster would wait for room that its own task and others hold."""
    for task in tasks:
        if any(step.run.configured.parameters.training.engine == "ray" for step in task.steps):
            raise InvalidInput(
                f"{OPTION}: {task.name} has training.engine ray, which takes room on the cluster "
                "by itself; leave out one of the two (--engine=local starts such runs here)"
            )


def check_nodes(project: Path) -> list[str]:
    """Ask each node whether it shares `data/` and has the package.

    Nodes that an autoscaler adds later are not asked: there a task fails if it cannot open its log.

    Returns:
        What to tell the user.

    Raises:
        InvalidInput: naming the node.
    """
    import ray

    nodes = [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]
    with _probe(project.resolve() / "data") as probe:
        asked = {}
        for node in nodes:
            strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                node["NodeID"], soft=False
            )
            check = ray.remote(num_cpus=0, scheduling_strategy=strategy)(on_node.check_node)
            answer = f"{probe}-{node['NodeID']}"
            ref = check.remote(str(project.resolve()), str(probe), answer, __version__)
            asked[answer] = (node["NodeManagerHostname"], ref)
        for answer, (host, ref) in asked.items():
            if problem := _answer(ref, host) or _unread(Path(answer), host):
                raise InvalidInput(f"{OPTION}: {problem}. See docs/scale.md")
    return [f"Ray: {len(nodes)} nodes share data/ and have version {__version__}."]


def _answer(ref: "ObjectRef", host: str) -> str:
    import ray

    try:
        return ray.get(ref, timeout=SECONDS_TO_CHECK)
    except ray.exceptions.RayError as error:
        return f"{host} does not answer ({type(error).__name__})"


def _unread(answer: Path, host: str) -> str:
    shared = answer.is_file() and answer.read_text(encoding="utf-8") == str(answer)
    return "" if shared else f"what {host} writes in {answer.parent} does not arrive here"


@contextmanager
def _probe(data: Path) -> Iterator[Path]:
    data.mkdir(exist_ok=True)
    probe = data / f".probe-{uuid.uuid4().hex[:8]}"
    probe.write_text(str(probe), encoding="utf-8")
    try:
        yield probe
    finally:
        for path in data.glob(f"{probe.name}*"):
            with suppress(FileNotFoundError):
                path.unlink()
