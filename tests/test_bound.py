"""Functions with given arguments, and what kedro-viz shows of the code of a node."""

import inspect
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro_viz.models.flowchart.node_metadata import TaskNodeMetadata
from kedro_viz.models.flowchart.nodes import GraphNode

from pu_diffusion_pipeline.bound import bound


def named(first, *rest, method, last="z", **more):
    """Say what came."""
    return first, rest, method, last, more


def test_a_bound_function_has_the_argument_and_the_original_has_not():
    given = bound(named, method="pu")
    assert given(1, 2, third=3) == (1, (2,), "pu", "z", {"third": 3})
    assert given(1, method="clean")[2] == "clean"
    assert bound(given, last="y")(1)[2:4] == ("pu", "y")
    with pytest.raises(TypeError, match="method"):
        named(1)


def test_a_bound_function_is_named_and_described_as_the_original():
    given = bound(named, method="pu")
    assert (given.__name__, given.__doc__, given.__module__) == (
        named.__name__,
        named.__doc__,
        named.__module__,
    )
    assert inspect.signature(given).parameters["method"].default == "pu"


def test_kedro_viz_shows_the_file_and_the_code_of_every_node():
    for node in {node.name: node for one in pipelines.values() for node in one.nodes}.values():
        shown = TaskNodeMetadata(task_node=GraphNode.create_task_node(node, node.name, set()))
        assert Path(shown.filepath).name == "nodes.py", node.name
        assert f"def {node.func.__name__}(" in shown.code, node.name
