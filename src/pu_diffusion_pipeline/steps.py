"""Nodes that say in kedro-viz's side panel what they make."""

import inspect
import warnings
from collections.abc import Callable
from functools import partial

from kedro.pipeline import Node
from kedro.pipeline.preview_contract import TextPreview


def step(
    function: Callable[..., object],
    inputs: str | list[str] | dict[str, str],
    outputs: str | list[str] | dict[str, str],
    *,
    name: str,
) -> Node:
    """A node; kedro-viz shows the first sentence of its function's docstring.

    Args:
        function: what the node runs.
        inputs: data sets, as for `Node`.
        outputs: data sets, as for `Node`.
        name: the node's name.
    """
    with warnings.catch_warnings():
        # Kedro calls previews experimental: nothing that a user of this project can act on.
        warnings.filterwarnings("ignore", message="The 'preview_fn' feature is experimental")
        preview = partial(TextPreview, sentence_of(function))
        return Node(function, inputs, outputs, name=name, preview_fn=preview)


def sentence_of(function: Callable[..., object]) -> str:
    """The first line of a docstring, which is one sentence."""
    return (inspect.getdoc(function) or "").partition("\n")[0]
