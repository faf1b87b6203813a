"""Node functions with some arguments given, whose file and code kedro-viz still shows."""

from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import TypeVar

Result = TypeVar("Result")


def bound(function: Callable[..., Result], **given: object) -> Callable[..., Result]:
    """A copy of a function with these defaults of its keyword-only arguments.

    A copy, since kedro-viz shows the file in which a function was written: of a partial none, of a
    wrapper that of the wrapper.
    """
    assert isinstance(function, FunctionType)
    copy = FunctionType(function.__code__, function.__globals__, closure=function.__closure__)
    update_wrapper(copy, function)
    del vars(copy)["__wrapped__"]  # it has other defaults
    copy.__defaults__ = function.__defaults__
    copy.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **given}
    return copy
