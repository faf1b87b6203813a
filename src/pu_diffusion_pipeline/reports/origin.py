"""Where a run comes from, for the page that reports on it."""

from collections.abc import Mapping
from typing import NamedTuple


class Origin(NamedTuple):
    """What makes a run again (node input `params:origin`).

    Attributes:
        command: that makes it again.
        models: method to the folder of its model.
        changed: parameter to its value here and in conf/base, where they differ.
    """

    command: str
    models: Mapping[str, str]
    changed: Mapping[str, tuple[object, object]]
