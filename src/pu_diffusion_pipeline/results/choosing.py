"""Which runs of a table are wanted, and in which order."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from pu_diffusion_pipeline.command_line import split_items
from pu_diffusion_pipeline.diffusion.methods import METHODS
from pu_diffusion_pipeline.errors import InvalidInput
from pu_diffusion_pipeline.metrics.registry import METRICS as OF_SAMPLES
from pu_diffusion_pipeline.options import require_one_of

Comparison = Callable[[pd.Series, object], pd.Series]
OPERATORS: dict[str, Comparison] = {
    "<=": pd.Series.le,
    ">=": pd.Series.ge,
    "!=": pd.Series.ne,
    "=": pd.Series.eq,
    "<": pd.Series.lt,
    ">": pd.Series.gt,
}
CONDITION = re.compile(r"([\w.]+)\s*(<=|>=|!=|=|<|>)\s*(.+)")
NOTHING = "null"
# Other names of columns: `fd<50`.
SYMBOLS = {
    symbol.lower(): column
    for column, metric in OF_SAMPLES.items()
    for symbol in (metric.symbol, metric.on_inception)
    if symbol
}
USUAL_ORDER = ["benchmark", "method", "beta", "gamma", "seed"]


class Wanted(NamedTuple):
    """What a user asks for.

    Attributes:
        env: a benchmark; None: all.
        methods: names; none: all.
        seeds: none: all.
        where: such as `fd<50,sampling.sampler=ddim`.
        sort: a column, with a leading `-` the largest first; None: by benchmark, method and seed.
    """

    env: str | None = None
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    where: Sequence[str] = ()
    sort: str | None = None


def chosen(runs: pd.DataFrame, wanted: Wanted) -> pd.DataFrame:
    """The runs that are wanted, in order.

    Args:
        runs: `reading.Found.runs`.
        wanted: which.

    Raises:
        InvalidInput: an unknown benchmark, method or column; a condition that cannot be read.
    """
    if wanted.env is not None:
        _known("--env", wanted.env, sorted(runs["benchmark"].dropna().unique()))
        runs = runs[(runs["benchmark"] == wanted.env).fillna(False)]
    for method in wanted.methods:
        _known("--methods", method, list(METHODS))
    if wanted.methods:
        runs = runs[runs["method"].isin(wanted.methods)]
    if wanted.seeds:
        runs = runs[runs["seed"].isin(wanted.seeds)]
    for text in wanted.where:
        for condition in _items(text):
            runs = runs[_holds(runs, condition)]
    return _ordered(runs, wanted.sort).reset_index(drop=True)


def column_of(runs: pd.DataFrame, name: str, option: str) -> str:
    """The column that a user means: by its own name or a metric's symbol.

    Raises:
        InvalidInput: there is none; the message names a close one.
    """
    name = name if name in runs else SYMBOLS.get(name.lower(), name.lower())
    return _known(option, name, list(runs))


def _known(option: str, value: str, known: Sequence[str]) -> str:
    try:
        return require_one_of(value, known)
    except ValueError as error:
        hint = str(error).rpartition("; ")[2] if "; " in str(error) else ""
        named = hint or f"expected one of {', '.join(known[:20])}"
        raise InvalidInput(f"{option}: no {value!r} among the runs; {named}") from error


def _items(text: str) -> list[str]:
    try:
        return split_items(text)
    except ValueError as error:
        raise InvalidInput(f"--where: {error}") from error


def _holds(runs: pd.DataFrame, condition: str) -> pd.Series:
    """For each run whether a condition holds; where there is no value only `!=` does."""
    found = CONDITION.fullmatch(condition)
    if found is None:
        raise InvalidInput(f"--where: expected such as seed=0 or fd<50, got {condition!r}")
    name, sign, value = found.groups()
    column = runs[column_of(runs, name, "--where")]
    if value == NOTHING and sign in ("=", "!="):
        return column.isna() if sign == "=" else column.notna()
    compare = OPERATORS[sign]
    number = pd.to_numeric(value, errors="coerce")
    if pd.notna(number) and not pd.api.types.is_bool_dtype(column):
        holds = compare(pd.to_numeric(column, errors="coerce"), number)
    elif sign in ("=", "!="):
        holds = compare(column.astype("string").map(_spelled, na_action="ignore"), _spelled(value))
    else:
        raise InvalidInput(f"--where: {name}{sign} expects a number, got {value!r}")
    return holds.astype("boolean").fillna(sign == "!=").astype(bool)


def _spelled(text: str) -> str:
    """Without what makes no difference: `[0,2]` is `[0, 2]`, `true` is `True`."""
    return text.replace(" ", "").lower()


def _ordered(runs: pd.DataFrame, sort: str | None) -> pd.DataFrame:
    place = runs["method"].map(_place)
    usual = runs.assign(method=place).sort_values(USUAL_ORDER, kind="stable").index
    runs = runs.loc[usual]
    if sort is None:
        return runs
    column = column_of(runs, sort.removeprefix("-"), "--sort")
    return runs.sort_values(column, ascending=not sort.startswith("-"), kind="stable")


def _place(method: str) -> int:
    known: Iterable[str] = METHODS
    return list(known).index(method) if method in METHODS else len(METHODS)
