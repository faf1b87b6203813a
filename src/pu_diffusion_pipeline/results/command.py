"""What `kedro results` does: read, choose, print or write."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pu_diffusion_pipeline.atomic_write import atomic_write
from pu_diffusion_pipeline.config_loader import open_loader
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.reports.text_table import show_table
from pu_diffusion_pipeline.results.choosing import Wanted, chosen
from pu_diffusion_pipeline.results.reading import Found, kept_runs, own_runs
from pu_diffusion_pipeline.results.table import dispensable, readable, side_by_side

MOST_NAMED = 3  # files in a warning
log = logging.getLogger(__name__)
Say = Callable[[str], None]


def show_results(
    project: Path, folder: Path | None, wanted: Wanted, to: Path | None, say: Say
) -> None:
    """Print the table of the runs, or write it.

    Args:
        project: the project's folder.
        folder: where runs were copied to; None: those of the project.
        wanted: which runs.
        to: a .csv or .parquet file that takes all columns, in the place of the terminal.
        say: prints a text.

    Raises:
        InvalidInput: there is no such run, or the file cannot be written so.
    """
    if to is not None and to.suffix not in WRITERS:
        raise InvalidInput(f"--to: expected a file .csv or .parquet, got {to}")
    found = _read(project, folder)
    runs = chosen(found.runs, wanted)
    if runs.empty:
        raise InvalidInput(f"none of the {len(found.runs)} finished runs is as asked")
    if to is not None:
        with atomic_write(to) as temporary:
            WRITERS[to.suffix](runs, temporary)
        say(f"{len(runs)} runs, {len(runs.columns)} columns: {to}")
        return
    text = readable(found, runs)
    _show(text, f"{len(runs)} finished runs", dispensable(text), say)


def show_comparison(project: Path, folder: Path | None, names: tuple[str, str], say: Say) -> None:
    """Print two runs side by side.

    Args:
        project: the project's folder.
        folder: as for `show_results`.
        names: of the runs: ids, or folders or their last parts.
        say: prints a text.

    Raises:
        InvalidInput: a name is that of no run, or of several.
    """
    found = _read(project, folder)
    one, other = (_named(found, name) for name in names)
    for row in (one, other):
        say(f"{row['id']}  {row['run']}")
    parameters, metrics = side_by_side(found, one, other)
    if parameters.empty:
        say("No parameter differs.")
    else:
        _show(parameters, "what differs", [], say)
    _show(metrics, "metrics", [], say)


def _write_csv(runs: pd.DataFrame, path: Path) -> None:
    runs.to_csv(path, index=False)


def _write_parquet(runs: pd.DataFrame, path: Path) -> None:
    runs.to_parquet(path, index=False)


WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}


def _read(project: Path, folder: Path | None) -> Found:
    """The runs; files that cannot be read are named in one warning."""
    found = own_runs(_outputs(project)) if folder is None else kept_runs(folder)
    if found.unread:
        more = len(found.unread) - MOST_NAMED
        lines = found.unread[:MOST_NAMED] + [f"and {more} more"] * (more > 0)
        log.warning("Passed over %d files:\n%s", len(found.unread), "\n".join(lines))
    if found.runs.empty:
        where = _outputs(project) if folder is None else folder
        raise InvalidInput(f"no finished run in {where}; `kedro run` makes some")
    return found


def _outputs(project: Path) -> Path:
    """The folder of all benchmarks' records, by the catalog."""
    if not (project / "conf").is_dir():
        raise InvalidInput(f"no configuration: no folder {project / 'conf'}; is this the project?")
    entry = open_loader(project / "conf", None, {})["catalog"]["all_metrics"]
    return (project / entry["filepath"]).parent


def _named(found: Found, name: str) -> pd.Series:
    """The run of a name.

    Args:
        found: what was read.
        name: its id, or its folder: as a path, as in the table, or without the benchmark.
    """
    path = Path(name).as_posix()
    runs = found.runs
    fits = [
        row["id"] == name
        or f"/{path}".endswith(f"/{row['run']}")
        or row["run"].endswith(f"/{path}")
        for _, row in runs[["id", "run"]].iterrows()
    ]
    if sum(fits) == 1:
        return runs[fits].iloc[0]
    several = ", ".join(runs[fits]["run"][:MOST_NAMED])
    why = f"fits several, such as {several}" if several else "is none; kedro results lists them"
    raise InvalidInput(f"run {name!r} {why}")


def _show(text: pd.DataFrame, title: str, dispensable: list[str], say: Say) -> None:
    """A framed table that fits the terminal; in a pipe or a file plain lines with all columns."""
    import rich

    if rich.get_console().is_terminal:
        show_table(text, title, dispensable)
    else:
        say(text.to_string(index=False))
