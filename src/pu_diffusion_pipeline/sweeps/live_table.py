"""A table of the tasks of a sweep that changes while they run, where there is a terminal."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pu_diffusion_pipeline.sweeps.execution import Row, Say, spell_seconds

if TYPE_CHECKING:
    from rich.console import Group

MOST_ROWS = 15
STYLES = {"running": "cyan", "failed": "red", "waiting": "dim", "done": "green"}  # in this order


@contextmanager
def live_table(rows: Callable[[], Sequence[Row]]) -> Iterator[None]:
    """Show the tasks while the block runs, below the lines that it prints; then they go.

    Args:
        rows: what there is to show; asked by another thread.
    """
    import rich
    from rich.live import Live

    console = rich.get_console()
    if not console.is_terminal:
        yield
        return
    with Live(
        get_renderable=lambda: as_table(rows()),
        console=console,
        refresh_per_second=2,
        transient=True,
    ):
        yield


def above_table(say: Say) -> Say:
    """What prints a line; on a terminal above the table, which `say` would write through."""
    import rich

    console = rich.get_console()
    if not console.is_terminal:
        return say
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


def as_table(rows: Sequence[Row]) -> "Group":
    """Those that run first, as many as there is room for; below it how many there are of each."""
    from rich.console import Group
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(
        Column("task", overflow="ellipsis"),  # which is cut first; a name has no spaces
        Column("state", no_wrap=True),
        Column("time", no_wrap=True, justify="right"),
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    order = list(STYLES)
    for name, state, seconds in sorted(rows, key=lambda row: order.index(row.state))[:MOST_ROWS]:
        spent = "" if seconds is None else spell_seconds(seconds)
        table.add_row(name, Text(state, STYLES[state]), spent)
    count = Counter(row.state for row in rows)
    others = [f"{count[state]} {state}" for state in order[:-1] if count[state]]
    total = ", ".join([f"{count['done']} of {len(rows)} done", *others])
    return Group(Text(), table, Text(total, "bold"))
