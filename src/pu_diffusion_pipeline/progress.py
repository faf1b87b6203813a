"""Progress of long jobs, on the same rich console as the log's lines."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

log = logging.getLogger(__name__)


class Reporter:
    """Progress of one long job: a bar on a terminal, ten log lines elsewhere."""

    def __init__(self, progress: Progress | None, title: str, total: int) -> None:
        self._progress = progress
        self._title = title
        self._total = total
        self._task = progress.add_task(title, total=total, status="") if progress else None
        self._next_line = 0.1

    def update(self, done: int, status: str = "") -> None:
        """Report that `done` of the total is done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, status=status)
        elif done / self._total >= self._next_line:
            log.info("%s: %d/%d %s", self._title, done, self._total, status)
            self._next_line = (int(10 * done / self._total) + 1) / 10


@contextmanager
def progress(title: str, total: int, shown: bool = True) -> Iterator[Reporter]:
    """Show the progress of a job of `total` units while the block runs.

    Args:
        title: the text in front of it.
        total: number of units.
        shown: false where another process shows it. With `kedro run --quiet` nobody does.
    """
    console = rich.get_console()
    if not shown or not console.is_terminal or not log.isEnabledFor(logging.INFO):
        yield Reporter(None, title, total if shown else sys.maxsize)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        # What is left of the line, cut where it is too long: the bar and the time stay whole.
        TextColumn("{task.fields[status]}", table_column=Column(ratio=1, no_wrap=True)),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        yield Reporter(bar, title, total)


def spell_time(seconds: float) -> str:
    """A duration in words, to the minute or coarser."""
    if seconds < 60:
        return "less than a minute"
    if seconds < 90:
        return "about a minute"
    if seconds < 5400:
        return f"about {round(seconds / 60)} minutes"
    if seconds < 172_800:
        return f"about {seconds / 3600:.1f} hours"
    return f"about {seconds / 86_400:.1f} days"
