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
        nodes = {
            step: node
            for step in task.steps
            for node in step.run.pipeline.nodes
            if node.name == step.node
        }
        made = {name for node in nodes.values() for name in node.outputs}
        read = [(step, name) for step, node in nodes.items() for name in {*node.inputs} - made]
        for step, name in read:
            if not name.startswith("params:") and not step.run.configured.is_file(name):
                raise InvalidInput(
                    f"catalog: {name}: expected a filepath in a file system, since {task.name} "
                    "reads it in a process of its own"
                )
