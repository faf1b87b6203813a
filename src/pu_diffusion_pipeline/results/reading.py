"""All finished runs below a folder as one tidy table, read from the runs' own files."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.experiment.claims import SUFFIX, refuse_changed
from pu_diffusion_pipeline.metrics.registry import Record, read_record
from pu_diffusion_pipeline.reports.frontier import with_checks
from pu_diffusion_pipeline.reports.tables import run_row

METRICS_FILE = "metrics.json"
SECOND_OPINION, RELEARNED = "second_opinion.json", "relearned.json"
CLAIMS = {METRICS_FILE: "metrics", SECOND_OPINION: "metrics", RELEARNED: "relearning"}
OF_A_RUN = {"method", "settings", "non_sensitive_rate", "fidelity", "training"}
# By which a table of runs is known, and a row of one as a run whose record is read as well.
OF_A_TABLE = {"run", "method", "seed", "nsr", "distance", "judge_digest"}
SAME_RUN = ["method", "seed", "nsr", "distance"]
OF_CHECKS = ("second_nsr", "both", "near_labeled_sensitive", "relearned_nsr")
WITHOUT_SECTION = ("pretrained",)  # of the parameters that are no other column
FIRST = ("id", "run", "benchmark")
ID_LENGTH = 6


class Found(NamedTuple):
    """What a folder holds.

    Attributes:
        runs: a row per run: `id`, `run`, `benchmark`, the columns of `tables.run_row` and
            `frontier.with_checks`, `date`, `commit`, and every flat parameter.
        parameters: the columns that are parameters.
        unread: a line for each file that was passed over, with the reason.
    """

    runs: pd.DataFrame
    parameters: list[str]
    unread: list[str]


def own_runs(outputs: Path) -> Found:
    """The runs of this project.

    Args:
        outputs: the folder with `<benchmark>/<method>/<run>/metrics.json`.
    """
    return _Reader(outputs).found(outputs.glob(f"*/*/*/{METRICS_FILE}"))


def kept_runs(folder: Path) -> Found:
    """The runs that were copied to a folder: records in files of any name, and tables of runs.

    Rows of a table that a record describes too are left out.

    Raises:
        InvalidInput: there is no such folder.
    """
    if not folder.is_dir():
        raise InvalidInput(f"--from: no folder {folder}")
    reader = _Reader(folder)
    return reader.found(folder.rglob("*.json"), folder.rglob("*.csv"))


class _Reader:
    """Reads files and keeps what could not be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unread: list[str] = []
        self._parameters: dict[str, None] = {}
        self._opinions: dict[str, Record] = {}
        self._relearned: dict[str, Record] = {}

    def found(self, records: Iterable[Path], tables: Iterable[Path] = ()) -> Found:
        """The runs of these files."""
        rows = [row for path in _visible(records) if (row := self._row(path)) is not None]
        known = {tuple(row[name] for name in SAME_RUN) for row in rows}
        for path in _visible(tables):
            of_table = self._rows_of_table(path)
            rows += [row for row in of_table if tuple(row[name] for name in SAME_RUN) not in known]
        if not rows:
            return Found(pd.DataFrame(), [], self._unread)
        checked = with_checks(pd.DataFrame(rows), self._opinions, self._relearned)
        checked["id"] = checked["run"].map(_id_of)
        rest = [name for name in checked if name not in {*FIRST, *self._parameters}]
        ordered = checked[[*FIRST, *rest, *self._parameters]]
        return Found(_with_one_type(ordered), list(self._parameters), self._unread)

    def _row(self, path: Path) -> dict[str, object] | None:
        record = self._read(path)
        if record is None or not _is_of_a_run(path, record):
            return None
        run = self._name(path.parent if path.name == METRICS_FILE else path.with_suffix(""))
        try:
            settings = {name: _plain(value) for name, value in record["settings"].items()}
            row = {**run_row(record, run), "benchmark": settings["benchmark"]}
        except (KeyError, TypeError, AttributeError) as error:
            self._unread.append(f"{path} is no whole record of a run ({error!r})")
            return None
        row |= {"date": _date(path), "commit": record.get("git_revision")}
        parameters = {name: value for name, value in settings.items() if name not in row}
        self._parameters |= dict.fromkeys(parameters)
        if path.name == METRICS_FILE:
            self._read_beside(path, run)
        return row | parameters

    def _read_beside(self, path: Path, run: str) -> None:
        """What checks have found that are made after the metrics."""
        for name, found in ((SECOND_OPINION, self._opinions), (RELEARNED, self._relearned)):
            beside = path.with_name(name)
            if beside.is_file() and (record := self._read(beside)) is not None:
                found[run] = record

    def _read(self, path: Path) -> Record | None:
        """A record that is what was saved; what else there is becomes a line in `unread`."""
        claim = path.with_name(f"{CLAIMS.get(path.name, '')}{SUFFIX}")
        try:
            if claim.is_file():
                refuse_changed(claim, path, "made again by evaluating that run")
            return read_record(path)
        except InvalidInput as error:
            self._unread.append(str(error))
            return None

    def _rows_of_table(self, path: Path) -> list[dict[str, object]]:
        with path.open(encoding="utf-8", errors="replace") as file:
            columns = file.readline().strip().split(",")
        if not set(columns) >= OF_A_TABLE:
            return []
        try:
            table = pd.read_csv(path)
        except ValueError as error:  # pandas' own errors are such
            self._unread.append(f"{path} is damaged ({error})")
            return []
        name = self._name(path.with_suffix(""))
        parameters = (name for name in table if "." in name or name in WITHOUT_SECTION)
        self._parameters |= dict.fromkeys(parameters)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        return [self._row_of_table(row, f"{name}/{row['run']}") for row in rows]

    def _row_of_table(self, row: dict[str, object], run: str) -> dict[str, object]:
        """As `_row`: of what `kedro results --to` has written, the checks are taken apart again."""
        checks = {name: row.pop(name, None) for name in ("id", "date", *OF_CHECKS)}
        if checks["second_nsr"] is not None:
            opinion = {name: checks[name] for name in ("both", "near_labeled_sensitive")}
            rate = {"non_sensitive_rate": checks["second_nsr"]}
            self._opinions[run] = {**rate, **opinion, "classes": {}}
        if checks["relearned_nsr"] is not None:
            self._relearned[run] = {"non_sensitive_rate": checks["relearned_nsr"]}
        return {**row, "run": run, "benchmark": row.get("benchmark")}

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _visible(paths: Iterable[Path]) -> list[Path]:
    """In order, without temporary files."""
    return sorted(path for path in paths if not path.name.startswith("."))


def _is_of_a_run(path: Path, record: object) -> bool:
    """Whether a document is a run's record; one called so is, or else it is damaged."""
    return path.name == METRICS_FILE or (isinstance(record, Mapping) and record.keys() >= OF_A_RUN)


def _date(path: Path) -> datetime | None:
    """When the run wrote the file; None for a copy, whose time is that of the copying."""
    if not path.with_name(f"{CLAIMS.get(path.name, '')}{SUFFIX}").is_file():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).replace(microsecond=0)


def _id_of(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()[:ID_LENGTH]


def _plain(value: object) -> object:
    """A cell: lists become text."""
    return json.dumps(value) if isinstance(value, list) else value


def _with_one_type(table: pd.DataFrame) -> pd.DataFrame:
    """Each column of one type, as Parquet needs it: mixed ones, such as beta, become text."""
    mixed = {
        name: column.map(str, na_action="ignore")
        for name, column in table.items()
        if column.dtype == object and not set(map(type, column.dropna())) <= {int, float}
        if len(set(map(type, column.dropna()))) > 1
    }
    return table.assign(**mixed).convert_dtypes()
