"""Node functions with some arguments given, whose code kedro-viz still shows."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

Result = TypeVar("Result")


def bound(function: Callable[..., Result], **given: object) -> Callable[..., Result]:
    """The function with these arguments; a function too, as kedro-viz needs, unlike a partial."""

    @wraps(function)
    def called(*args: object, **rest: object) -> Result:
        return function(*args, **rest, **given)

    return called
