"""What one task hands to another has to lie in files: each is a process, maybe on another node."""

from collections.abc import Iterable

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.sweeps.plan import Task


def refuse_unshared(tasks: Iterable[Task]) -> None:
    """Check that every data set that a task reads from outside lies in a file system.

    Locks and claims need `flock` and `os.replace`: an object store has neither.

    Raises:
        InvalidInput: naming the data set and the task.
    """
    for task in tasks:
        run = task.steps[0].run
        names = {step.node for step in task.steps}
        nodes = [node for node in run.pipeline.nodes if node.name in names]
        made = {name for node in nodes for name in node.outputs}
        for name in {name for node in nodes for name in node.inputs} - made:
            if not name.startswith("params:") and not run.configured.is_file(name):
                raise InvalidInput(
                    f"catalog: {name}: expected a filepath in a file system, since {task.name} "
                    "reads it in a process of its own"
                )
