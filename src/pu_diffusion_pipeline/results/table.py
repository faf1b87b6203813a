"""The runs for readers: the main metrics, and the parameters in which the runs differ."""

import pandas as pd

from pu_diffusion_pipeline.metrics.registry import METRICS
from pu_diffusion_pipeline.reports.frontier import CHECKS
from pu_diffusion_pipeline.reports.tables import PROTOCOL
from pu_diffusion_pipeline.results.reading import Found

NONE = "–"
SHOWN_CHECKS = ("second_nsr", "train_seconds")
# Shown as parameters are, where they differ: what a rate or a distance rests on.
BASIS = ("judge_digest", "extractor")
SHORT = 7  # characters of a digest or a revision


def readable(found: Found, runs: pd.DataFrame) -> pd.DataFrame:
    """The cells as text, without the columns that are empty.

    Args:
        found: what was read, for the names of parameters.
        runs: the runs to show, rows of `found.runs`.
    """
    text: dict[str, list[str]] = {
        name: [_cell(value) for value in runs[name]]
        for name in ("id", "benchmark", "method", "seed", "beta")
    }
    for name, metric in METRICS.items():
        text[metric.symbol] = [NONE if pd.isna(one) else metric.text(one) for one in runs[name]]
    estimated = runs["is_estimated"].fillna(False)
    text["NSR"] = [
        f"~{cell}" if one else cell for cell, one in zip(text["NSR"], estimated, strict=True)
    ]
    for name in SHOWN_CHECKS:
        heading, digits = CHECKS[name]
        text[heading] = [NONE if pd.isna(one) else format(one, digits) for one in runs[name]]
    for name in varying(runs, found.parameters):
        length = SHORT if name == "judge_digest" else None
        text[name] = [_cell(value)[:length] for value in runs[name]]
    text["date"] = [NONE if pd.isna(one) else f"{one:%Y-%m-%d %H:%M}" for one in runs["date"]]
    text["commit"] = [_revision(value) for value in runs["commit"]]
    text["run"] = list(runs["run"])
    return pd.DataFrame({name: cells for name, cells in text.items() if set(cells) != {NONE}})


def dispensable(text: pd.DataFrame) -> list[str]:
    """Columns of `readable` that a narrow terminal does without, the first ones first."""
    kept = ("method", "seed", "NSR", "FD")
    first = ("run", "commit", "KID", "date", CHECKS["train_seconds"][0], "recall", "precision")
    rest = [name for name in reversed(text.columns) if name not in (*first, *kept)]
    return [*first, *rest]


def varying(runs: pd.DataFrame, parameters: list[str]) -> list[str]:
    """The parameters in which runs of one benchmark differ, and of what metrics rest on.

    Values of different benchmarks are not compared: the benchmark says enough. A parameter that
    only some runs have differs where they share method and beta.

    Args:
        runs: rows of `reading.Found.runs`.
        parameters: the columns to look at; those of seed and beta are always shown.
    """
    names = [*BASIS, *parameters]
    runs = runs[runs["benchmark"].notna()]
    differ = (runs.groupby("benchmark")[names].nunique() > 1).any()
    alike = runs.groupby(["benchmark", "method", "beta"], dropna=False)[names]
    count = alike.count()
    partly = (count.gt(0) & count.lt(alike.size(), axis=0)).any()
    return [name for name in names if differ[name] or partly[name]]


def side_by_side(
    found: Found, one: pd.Series, other: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two runs compared.

    Args:
        found: what was read.
        one: a row of `found.runs`.
        other: another row.

    Returns:
        The parameters and facts that differ: name, both values. Every metric: name, both values,
        the second less the first.
    """
    facts = ("benchmark", "method", "seed", "beta", "judge_digest", *PROTOCOL, "commit")
    told = (*found.parameters, *facts)
    lines = [
        (name, _cell(one[name]), _cell(other[name]))
        for name in told
        if _cell(one[name]) != _cell(other[name])
    ]
    numbers = found.runs.select_dtypes("number").columns
    metrics = [name for name in numbers if name not in {*told, "beta_value", "gamma"}]
    values = [
        (name, _number(one[name]), _number(other[name]), _number(other[name] - one[name], "+"))
        for name in metrics
        if pd.notna(one[name]) or pd.notna(other[name])
    ]
    heads = [one["id"], other["id"]]
    return (
        pd.DataFrame(lines, columns=["parameter", *heads]),
        pd.DataFrame(values, columns=["metric", *heads, "difference"]),
    )


def _number(value: object, sign: str = "") -> str:
    return NONE if pd.isna(value) else format(value, f"{sign}.6g")


def _cell(value: object) -> str:
    if pd.isna(value):
        return NONE
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _revision(value: object) -> str:
    """`1a2b3c4`, with a plus if the code had changes of its own."""
    if pd.isna(value):
        return NONE
    return str(value)[:SHORT] + ("+" if str(value).endswith("-dirty") else "")
